"""``kmltui`` and ``python -m kmltui``."""

import sys


def main() -> None:
    """Run the command line. ``--version`` alone is answered without importing anything."""
    if sys.argv[1:] == ["--version"]:
        from kmltui import __version__

        print(__version__)
        return
    from kmltui.cli import run

    run(sys.argv[1:])


if __name__ == "__main__":
    main()

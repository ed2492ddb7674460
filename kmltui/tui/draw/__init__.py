# SPDX-License-Identifier: GPL-2.0-or-later
"""What is drawn, as lines of text with roles: pure functions that know neither Textual nor colours."""

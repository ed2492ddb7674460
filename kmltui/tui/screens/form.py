# SPDX-License-Identifier: GPL-2.0-or-later
"""The form that starts a run: workloads on the left, their options on the right, the command they make below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.suggester import SuggestFromList
from textual.timer import Timer
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from kmltui.printable import printable
from kmltui.tui import form
from kmltui.tui.controls import Choice, Library
from kmltui.tui.form import HOWS, Offer, Problem, Values
from kmltui.tui.textual_private import Steady
from kmltui.tui.widgets.keybar import KeyBar, unique_bindings
from kmltui.tui.widgets.menu import Menu
from kmltui.tui.widgets.textfield import TextField

_CHECK_AFTER_S = 0.25
"""Wait this long after the last key: a check may have to look on the disk for images."""

_LOW = 24
"""With fewer rows, what is wrong takes the place of the workload's description."""

_HELP = {
    "how": " | ".join(HOWS),
    "loops": "repetitions; equal work for both",
    "duration": "instead: equal time, e.g. 90s, 5m",
    "pairs": "of a bench: repetitions of each session",
    "left": "e.g. stock,kernel=6.12,cpus=2,accel=tcg or stock,image=bookworm/6.1",
    "right": "e.g. kml,kernel=6.12,cpus=2,accel=tcg or kml,image=bookworm/6.1, or local",
    "cpus": "virtual CPUs of each session",
    "name": "of the recording",
    "command": "program and arguments",
}
_ARMS = ("stock", "kml", "stock+libc", "stock+idt", "local")


class _Field(TextField):
    """A line of the form."""

    async def on_key(self, event: events.Key) -> None:
        """Do this one key here: as any other binding's, its turn would come after what is typed behind it."""
        if event.key == "f4":
            event.stop()
            event.prevent_default()
            await self.run_action("screen.defaults")


class _Fields(VerticalScroll, inherit_bindings=False):
    """Scrolls with the focus and by the page: the arrows go from field to field, however many there are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
    ]


class FormScreen(Steady, Screen[Choice | None]):
    """Ends with what to start, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2,ctrl+s", "start", "start", key_display="F2"),
        Binding("f3,ctrl+y", "copy", "copy the command", key_display="F3"),
        Binding("f4", "defaults", "defaults", key_display="F4"),
        # At once, before what is typed after it: a key that waits for the field's turn lets later ones overtake it.
        Binding("tab", "app.focus_next", "next field", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", "previous field", show=False, priority=True),
        Binding("down,enter", "next_field", show=False, priority=True),
        Binding("up", "previous_field", show=False, priority=True),
        Binding("escape", "cancel", "back", key_display="esc"),
    ]

    def __init__(self, library: Library, offers: Sequence[Offer], values: Values) -> None:
        super().__init__()
        self._library = library
        self._offers = {offer.name: offer for offer in offers}
        self._values = form.merged(values, self._offers)
        self._timer: Timer | None = None
        self._problem: Problem | None = None

    @property
    def _offer(self) -> Offer:
        return self._offers[self._values.workload]

    def compose(self) -> ComposeResult:
        yield Static("kmltui · start a run", id="form-title", markup=False)
        with Horizontal(id="form"):
            yield Menu(*(Option(name, id=name) for name in self._offers), id="offers", markup=False)
            yield _Fields(id="fields", can_focus=False)
        yield Static("", id="description", markup=False)
        yield Static("", id="told", markup=False)
        yield Static("", id="problem", markup=False)
        yield Static("", id="command", markup=False)
        yield Static("", id="expected", markup=False)
        yield KeyBar(id="keys")

    async def on_mount(self) -> None:
        offers = self.query_one("#offers", OptionList)
        offers.highlighted = list(self._offers).index(self._values.workload)
        await self._show_fields()
        offers.focus()
        self.call_after_refresh(offers.scroll_to_highlight)
        self.call_after_refresh(self._show_keys)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < _LOW, "low")
        self.call_after_refresh(self.query_one("#offers", OptionList).scroll_to_highlight)
        self.call_after_refresh(self._show_keys)

    def _show_keys(self) -> None:
        self.query_one(KeyBar).show_bindings([each for each in unique_bindings(self) if each.show])

    # The fields

    def _fields(self) -> Iterator[tuple[str, str, str, str, Sequence[str]]]:
        """For each field: name, value, default when empty, help, values to suggest."""
        values, offer = self._values, self._offer
        if offer.takes_command:
            yield "command", values.command, "", _HELP["command"], ()
        yield "how", values.how, "run", _HELP["how"], tuple(HOWS)
        if offer.bound in ("loops", "either"):
            yield "loops", values.loops, str(offer.loops or ""), _HELP["loops"], ()
        if offer.bound in ("duration", "either"):
            length = f"{offer.duration_s:g}s" if offer.duration_s else ""
            yield "duration", values.duration, length, _HELP["duration"], ()
        yield "pairs", values.pairs, "", _HELP["pairs"], ()
        for name in ("left", "right"):
            yield name, str(getattr(values, name)), "stock" if name == "left" else "kml", _HELP[name], _ARMS
        yield "cpus", values.cpus, "", _HELP["cpus"], ()
        for setting in offer.settings:
            text = values.settings.get(setting.flag, "")
            told = f"{' | '.join(setting.choices)}: {setting.help}" if setting.choices else setting.help
            yield setting.flag, text, setting.default, told, setting.choices
        yield "name", values.name, "", _HELP["name"], ()

    async def _show_fields(self) -> None:
        """Make the fields of the workload anew. The focus, if it is on one, stays on a field."""
        fields = self.query_one("#fields", _Fields)
        focused = self.focused.name if isinstance(self.focused, Input) else None
        self.query_one("#description", Static).update(printable(f"{self._offer.title}. {self._offer.description}"))
        await fields.remove_children()
        rows = []
        for name, value, empty, told, choices in self._fields():
            box = _Field(
                value=value,
                placeholder=empty,
                compact=True,
                name=name,
                classes="field",
                max_length=400,
                suggester=SuggestFromList(choices, case_sensitive=False) if choices else None,
            )
            label = Label(name.removeprefix("--"), classes="field-name", markup=False)
            hint = Label(told, classes="field-help", name=f"help {name}", markup=False)
            rows.append(Horizontal(label, box, hint, name=f"row {name}", classes="field-row"))
        await fields.mount_all(rows)
        self._show_pairs()
        if focused is not None:
            boxes = self._boxes
            boxes.get(focused, next(iter(boxes.values()))).focus()
        self._soon()

    @property
    def _boxes(self) -> dict[str, Input]:
        return {box.name or "": box for box in self.query(".field").results(Input)}

    def _show_pairs(self) -> None:
        """Pairs are a bench's. While another way to measure is being typed, all stays as it is."""
        if self._values.how in HOWS:
            for row in self.query(".field-row"):
                if row.name == "row pairs":
                    row.display = self._values.how != "run"

    def _set(self, name: str, text: str) -> None:
        if name.startswith("--"):
            self._values.settings.pop(name, None)
            if text:
                self._values.settings[name] = text
        else:
            setattr(self._values, name, text)

    async def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        name = event.option.id or ""
        if name and name != self._values.workload:
            self._values.workload = name
            form.merged(self._values, self._offers)
            await self._show_fields()

    def on_option_list_option_selected(self, _: OptionList.OptionSelected) -> None:
        boxes = self.query(".field")
        if boxes:
            boxes.first().focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._set(event.input.name or "", event.value)
        self._show_pairs()
        self._soon()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The complete help for the current field: beside the field there is seldom room for all of it."""
        name = event.widget.name or ""
        told = next(
            (f"{known.removeprefix('--')}: {text}" for known, _, _, text, _ in self._fields() if known == name), ""
        )
        self.query_one("#told", Static).update(told or "arrows choose the workload, Enter goes to its fields")
        self._keep_in_sight()

    def _keep_in_sight(self) -> None:
        """What is told below may have taken the room of the field that is typed in."""
        if self.focused is not None:
            self.call_after_refresh(self.focused.scroll_visible, animate=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the list of workloads, the arrows and Enter are the list's."""
        return action not in ("next_field", "previous_field") or isinstance(self.focused, Input)

    def action_next_field(self) -> None:
        self.focus_next(".field")

    def action_previous_field(self) -> None:
        self.focus_previous(".field")

    # The check

    def _soon(self) -> None:
        self.query_one("#command", Static).update(printable(form.command_line(self._values)))
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_CHECK_AFTER_S, lambda: self._check(deepcopy(self._values)))

    @work(thread=True, exclusive=True, group="check")
    def _check(self, values: Values) -> None:
        problem, expected = self._checked(values)
        self.app.call_from_thread(self._show_problem, values, problem, expected)

    def _checked(self, values: Values) -> tuple[Problem | None, str]:
        if values.how not in HOWS:
            return Problem(f"is one of {', '.join(HOWS)}", "how"), ""
        if self._offers[values.workload].takes_command and not values.command.strip():
            return Problem("which program? Its name or path, and its arguments, are written here", "command"), ""
        try:
            words = form.arguments(values)
        except ValueError as error:
            return Problem(str(error), "command"), ""
        problem = self._library.check(words)
        return problem, "" if problem else self._library.expected(words)

    def _show_problem(self, values: Values, problem: Problem | None, expected: str) -> None:
        """Show what was found about these values, unless they have been changed since, or the form has been left."""
        if values != self._values or not self.query("#problem"):
            return
        self._problem = problem
        wrong = form.field_of(problem.flag) if problem is not None else ""
        told = {name: text for name, _, _, text, _ in self._fields()}
        for hint in self.query(".field-help").results(Label):
            name = (hint.name or "").removeprefix("help ")
            here = bool(wrong) and name == wrong and problem is not None
            hint.set_class(here, "wrong")
            hint.update(printable(problem.text) if here and problem is not None else told.get(name, ""))
        # Beside the field there is seldom room for all of it, and in a narrow terminal for none.
        self.query_one("#problem", Static).update(printable(problem.text) if problem is not None else "")
        self.query_one("#expected", Static).update(printable(expected))
        self.set_class(problem is not None, "wrong")
        self._keep_in_sight()

    # What can be done

    def action_start(self) -> None:
        if self._timer is not None:
            self._timer.stop()  # what it would check is checked now
        self._read_boxes()
        self._start(deepcopy(self._values))

    @work(thread=True, exclusive=True, group="start")
    def _start(self, values: Values) -> None:
        problem, expected = self._checked(values)
        if problem is not None:
            self.app.call_from_thread(self._show_problem, values, problem, expected)
            return
        self._library.remember(values)
        self.app.call_from_thread(self._leave, Choice(action="start", arguments=tuple(form.arguments(values))))

    def _leave(self, choice: Choice) -> None:
        if self.app.screen is self:
            self.dismiss(choice)

    def _read_boxes(self) -> None:
        """What was typed just before a key may not have been told yet."""
        for name, box in self._boxes.items():
            self._set(name, box.value)

    def action_copy(self) -> None:
        self._read_boxes()
        self.app.copy_to_clipboard(form.command_line(self._values))
        self.notify("the command is in the clipboard, where the terminal allows it (OSC 52)", markup=False)

    def action_defaults(self) -> None:
        self._values = Values(workload=self._values.workload)
        boxes = self._boxes
        for name, value, *_ in self._fields():
            boxes[name].value = value
        self._show_pairs()

    def action_cancel(self) -> None:
        self.dismiss(None)

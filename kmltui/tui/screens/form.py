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
from kmltui.tui.widgets.textfield import TextField

_CHECK_AFTER_S = 0.25
"""Wait this long after the last key: a check may have to look on the disk for images."""

_HELP = {
    "how": " | ".join(HOWS),
    "loops": "repetitions; equal work for both",
    "duration": "instead: equal time, e.g. 90s, 5m",
    "pairs": "of a bench: repetitions of each session",
    "left": "stock, or e.g. stock,kernel=6.12",
    "right": "kml, or e.g. kml,cpus=2 or local",
    "cpus": "virtual CPUs of each session",
    "name": "of the recording",
    "command": "program and arguments",
}
_ARMS = ("stock", "kml", "stock+libc", "stock+idt", "local")


class FormScreen(Steady, Screen[Choice | None]):
    """Ends with what to start, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2,ctrl+s", "start", "start", key_display="F2", priority=True),
        Binding("f3,ctrl+y", "copy", "copy the command", key_display="F3", priority=True),
        Binding("f4", "defaults", "defaults", key_display="F4", priority=True),
        # At once, before what is typed after it: a key that waits for the field's turn lets later ones overtake it.
        Binding("tab", "app.focus_next", "next field", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", "previous field", show=False, priority=True),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
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
            yield OptionList(*(Option(name, id=name) for name in self._offers), id="offers", markup=False)
            yield VerticalScroll(id="fields", can_focus=False)
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

    def on_resize(self, _: events.Resize) -> None:
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
        if values.how != "run":
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
        fields = self.query_one("#fields", VerticalScroll)
        self.query_one("#description", Static).update(printable(f"{self._offer.title}. {self._offer.description}"))
        await fields.remove_children()
        rows = []
        for name, value, empty, told, choices in self._fields():
            box = TextField(
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
            rows.append(Horizontal(label, box, hint, classes="field-row"))
        await fields.mount_all(rows)
        self._soon()

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

    async def on_input_changed(self, event: Input.Changed) -> None:
        name = event.input.name or ""
        before = self._values.how
        self._set(name, event.value)
        if name == "how" and event.value in HOWS and (before == "run") != (event.value == "run"):
            await self._show_fields()
            self.query(".field").first().focus()
        self._soon()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The complete help for the current field: beside the field there is seldom room for all of it."""
        name = event.widget.name or ""
        told = next(
            (f"{known.removeprefix('--')}: {text}" for known, _, _, text, _ in self._fields() if known == name), ""
        )
        self.query_one("#told", Static).update(told or "arrows choose the workload, Enter goes to its fields")

    def on_input_submitted(self, _: Input.Submitted) -> None:
        self.focus_next()

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
        beside = False
        for hint in self.query(".field-help").results(Label):
            name = (hint.name or "").removeprefix("help ")
            here = bool(wrong) and name == wrong and problem is not None
            beside = beside or here
            hint.set_class(here, "wrong")
            hint.update(printable(problem.text) if here and problem is not None else told.get(name, ""))
        other = problem.text if problem is not None and not beside else ""
        self.query_one("#problem", Static).update(printable(other))
        self.query_one("#expected", Static).update(printable(expected))

    # What can be done

    def action_start(self) -> None:
        if self._timer is not None:
            self._timer.stop()  # what it would check is checked now
        for box in self.query(".field").results(Input):
            self._set(box.name or "", box.value)  # what was typed just before this key may not have been told yet
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

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(form.command_line(self._values))
        self.notify("the command is in the clipboard, where the terminal allows it (OSC 52)", markup=False)

    async def action_defaults(self) -> None:
        self._values = Values(workload=self._values.workload)
        await self._show_fields()

    def action_cancel(self) -> None:
        self.dismiss(None)

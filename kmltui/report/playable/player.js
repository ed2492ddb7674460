// SPDX-License-Identifier: GPL-2.0-or-later
// Draws the course of a run at one instant. Every text is set as text: none of the data becomes markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("course").textContent);
  const byId = (id) => document.getElementById(id);
  const count = data.t.length;
  const last = count - 1;
  const ABSENT = "–";
  const SVG = "http://www.w3.org/2000/svg";
  const whole = new Intl.NumberFormat("en");
  let at = 0;
  let ms = data.t[0];
  let playing = false;
  let before = 0;

  const make = (tag, text, cls) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (cls) element.className = cls;
    return element;
  };
  const draw = (tag, attributes, parent) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (parent) parent.append(element);
    return element;
  };
  const time = (t) => {
    const s = Math.max(0, t) / 1000;
    const h = Math.floor(s / 3600);
    const m = Math.floor(s / 60) % 60;
    const rest = String(Math.floor(s % 60)).padStart(2, "0");
    return h ? `${h}:${String(m).padStart(2, "0")}:${rest}` : `${m}:${rest}`;
  };
  const number = (value) => (value === null || value === undefined ? ABSENT : whole.format(value));
  const seconds = (value) => (value === null ? ABSENT : (value / 1000).toFixed(2) + " s");
  // Figures that stand beside each other have one unit.
  const micros = (values, largest) =>
    values.map((us) => (us === null ? ABSENT : largest >= 10000 ? (us / 1000).toFixed(2) + " ms" : number(us) + " µs")).join(", ");
  const percent = (part, all) => (all ? ((100 * part) / all).toFixed(1) + " %" : ABSENT);
  const changed = (list, index) => {
    let low = 0;
    let high = list.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (list[middle][0] <= index) low = middle;
      else high = middle - 1;
    }
    return list[low][1];
  };
  const indexOf = (t) => {
    let low = 0;
    let high = last;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (data.t[middle] <= t) low = middle;
      else high = middle - 1;
    }
    return low;
  };

  // ---- panes: without KML there is one way into the kernel, and nothing is said of another
  const kml = data.sessions.some((s) => s.kml);
  const longest = (i) => Math.max(...data.sessions.map((s) => s.p99_us[i] ?? 0));
  const timed = data.sessions.some((s) => s.p50_us.some((us) => us !== null));
  const figures = [
    ["queries a second", (s, i) => number(s.queries[i])],
    ["queries", (s, i) => number(s.done[i])],
    ...(kml ? [
      ["system calls a second by trap", (s, i) => number(s.trap[i])],
      ["… and by direct call", (s, i) => (s.kml ? number(s.direct[i]) : ABSENT)],
      ["direct since the workload began", (s, i) => (s.kml ? percent(s.directly[i], s.directly[i] + s.trapped[i]) : ABSENT)],
    ] : [
      ["system calls a second", (s, i) => number(s.trap[i])],
    ]),
    ["CPU time of server and client", (s, i) => seconds(s.cpu_ms[i])],
    ...(timed ? [["latency, median and 99 %", (s, i) => micros([s.p50_us[i], s.p99_us[i]], longest(i))]] : []),
  ];
  const panes = data.sessions.map((session) => {
    const pane = make("section", undefined, session.arm === "kml" ? "pane kml" : "pane");
    const heading = make("h2", session.name);
    pane.append(heading);
    pane.setAttribute("aria-label", session.name);
    const state = make("p", "", "note");
    pane.append(state);
    const bars = Object.entries(session.cpu).map(([cpu, values]) => {
      const row = make("div", undefined, "bar");
      row.append(make("span", "cpu " + cpu));
      const svg = draw("svg", { viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" }, row);
      draw("rect", { width: 1000, height: 10, fill: "var(--rule)" }, svg);
      const user = draw("rect", { height: 10, fill: "var(--user)" }, svg);
      const system = draw("rect", { height: 10, fill: "var(--system)" }, svg);
      const text = make("output");
      row.append(text);
      pane.append(row);
      return { values, user, system, text };
    });
    const list = make("dl");
    const shown = figures.map(([name, value]) => {
      const term = make("dt", name);
      const figure = make("dd");
      list.append(term, figure);
      return [figure, value];
    });
    pane.append(list);
    byId("panes").append(pane);
    return { session, state, bars, shown };
  });

  // ---- charts: one scale for all sessions, and for calls by trap and by direct call
  const charts = [
    ["System calls a second", kml ? [["by trap", (s) => s.trap, "trap"], ["direct", (s) => s.direct, "direct"]] : [["", (s) => s.trap, "trap"]]],
    ["Queries a second", [["", (s) => s.queries, ""]]],
  ];
  const heads = [];
  for (const [title, columns] of charts) {
    const lines = data.sessions.flatMap((session, index) =>
      columns.map(([what, column, cls]) => ({
        name: what ? `${session.name} ${what}` : session.name,
        values: column(session),
        cls: `line ${cls || "plain"} s${Math.min(index, 1)}`,
      }))
    ).filter((each) => each.values.some((value) => value));
    if (!lines.length) continue;
    const peak = (values) => values.reduce((most, value) => Math.max(most, value ?? 0), 0);
    const top = Math.max(1, ...lines.map((each) => peak(each.values)));
    const figure = make("figure");
    figure.append(make("figcaption", title));
    const svg = draw("svg", { viewBox: "0 0 1000 300", preserveAspectRatio: "none", role: "img" }, figure);
    svg.setAttribute("aria-label", `${title}: ${lines.map((each) => `${each.name} up to ${number(peak(each.values))}`).join(", ")}`);
    draw("line", { x1: 0, x2: 1000, y1: 299, y2: 299, class: "axis" }, svg);
    const key = make("p", "", "key");
    for (const each of lines) {
      let path = "";
      let pen = false;
      each.values.forEach((value, i) => {
        if (value === null) {
          pen = false;
          return;
        }
        const x = (1000 * (data.t[i] - data.t[0])) / Math.max(1, data.t[last] - data.t[0]);
        path += `${pen ? "L" : "M"}${x.toFixed(1)} ${(298 - (290 * value) / top).toFixed(1)}`;
        pen = true;
      });
      draw("path", { d: path, class: each.cls }, svg);
      const swatch = draw("svg", { viewBox: "0 0 24 8", class: "swatch", "aria-hidden": "true" }, key);
      draw("path", { d: "M0 4L24 4", class: each.cls }, swatch);
      key.append(make("span", `${each.name}, up to ${number(peak(each.values))}`));
    }
    heads.push(draw("line", { y1: 0, y2: 300, class: "head" }, svg));
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      seek(data.t[0] + ((event.clientX - box.left) / box.width) * (data.t[last] - data.t[0]));
    });
    figure.append(key);
    byId("charts").append(figure);
  }

  // ---- calls and single calls
  if (data.bench) byId("calls-title").textContent = "System calls, all turns";
  const calls = byId("calls");
  const head = make("tr");
  for (const text of ["call", ...data.sessions.flatMap((s) => (s.kml ? [`${s.name}, trap`, `${s.name}, direct`] : [s.name]))]) {
    const cell = make("th", text);
    cell.scope = "col";
    head.append(cell);
  }
  const thead = make("thead");
  thead.append(head);
  const tbody = make("tbody");
  calls.append(thead, tbody);
  const cells = data.calls.map((name) => {
    const row = make("tr");
    row.append(make("td", name));
    const found = data.sessions.map((s) => (s.kml ? [make("td"), make("td")] : [make("td")]));
    for (const pair of found) row.append(...pair);
    tbody.append(row);
    return found;
  });
  if (!data.calls.length) calls.append(make("caption", "No system calls were counted."));
  if (data.measures.length) {
    byId("single").hidden = false;
    const names = [...new Set(data.measures.flatMap((m) => Object.keys(m.values)))];
    const table = byId("measures");
    const top = make("tr");
    for (const text of ["call", "session", ...names, "unit"]) {
      const cell = make("th", text);
      cell.scope = "col";
      top.append(cell);
    }
    const group = make("thead");
    group.append(top);
    const rows = make("tbody");
    for (const measure of data.measures) {
      const row = make("tr");
      row.append(make("td", measure.name), make("td", measure.session));
      for (const name of names) row.append(make("td", name in measure.values ? measure.values[name].toFixed(1) : ABSENT));
      row.append(make("td", measure.unit));
      rows.append(row);
    }
    table.append(group, rows);
  }

  // ---- landmarks
  const span = Math.max(1, data.t[last] - data.t[0]);
  for (const [t, kind, text] of data.landmarks) {
    const tick = make("i", undefined, kind);
    tick.style.left = `${(100 * (t - data.t[0])) / span}%`;
    byId("ticks").append(tick);
    const item = make("li");
    const button = make("button", `${time(t)} ${kind === "phase" ? "phase " : kind === "gap" ? "gap: " : "mark: "}${text}`);
    button.type = "button";
    button.addEventListener("click", () => seekLandmark(t));
    item.append(button);
    byId("landmarks").append(item);
  }
  if (!data.landmarks.length) byId("landmarks").append(make("li", "none"));

  // ---- one instant
  const show = () => {
    for (const { session, state, bars, shown } of panes) {
      const phase = changed(session.phases, at);
      const detail = changed(session.details, at);
      state.textContent = [changed(session.states, at), phase && `phase ${phase}`, detail].filter(Boolean).join(" · ");
      for (const bar of bars) {
        const share = bar.values[at];
        const [user, system] = share || [0, 0];
        bar.user.setAttribute("width", user);
        bar.system.setAttribute("x", user);
        bar.system.setAttribute("width", system);
        bar.text.textContent = share ? `us ${Math.round(user / 10)} % sy ${Math.round(system / 10)} %` : ABSENT;
      }
      for (const [figure, value] of shown) figure.textContent = value(session, at);
    }
    const x = (1000 * (ms - data.t[0])) / span;
    for (const line of heads) {
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    cells.forEach((row, call) =>
      row.forEach((pair, index) => {
        const [trap, direct] = data.sessions[index].by_call[at][call];
        pair[0].textContent = number(trap);
        if (pair[1]) pair[1].textContent = number(direct);
      })
    );
    const lines = data.log.filter((line) => line[0] <= ms).slice(-8);
    byId("log").textContent = lines.map(([t, session, level, text]) =>
      `${time(t)} ${session ? session + ": " : ""}${level === "info" ? "" : level.toUpperCase() + " "}${text}`).join("\n") || "nothing yet";
    byId("time").value = String(at);
    byId("time").setAttribute("aria-valuetext", `${time(ms)} of ${time(data.t[last])}`);
    byId("clock").textContent = `${time(ms)} / ${time(data.t[last])}`;
  };
  const announce = () => {
    byId("now").textContent = data.sessions.map((s) => `${s.name}: ${changed(s.states, at)}`).join(", ");
  };
  const seek = (t) => {
    ms = Math.min(Math.max(t, data.t[0]), data.t[last]);
    at = indexOf(ms);
    show();
    if (!playing) announce();
  };
  // Of a landmark the first instant that knows of it is shown: the one before would still show what it ends.
  const seekLandmark = (t) => {
    seek(t);
    if (data.t[at] < t && at < last) {
      at += 1;
      show();
      if (!playing) announce();
    }
  };
  const setPlaying = (on) => {
    if (on && ms >= data.t[last]) seek(data.t[0]);
    playing = on;
    byId("play").textContent = on ? "Pause" : "Play";
    before = 0;
    if (on) requestAnimationFrame(step);
    else announce();
  };
  const step = (now) => {
    if (!playing) return;
    if (before) seek(ms + (now - before) * Number(byId("speed").value));
    before = now;
    if (ms >= data.t[last]) setPlaying(false);
    else requestAnimationFrame(step);
  };
  const jump = (direction) => {
    const times = data.landmarks.map((each) => each[0]);
    const target = direction > 0 ? times.find((t) => t > ms) : times.filter((t) => t < ms - 500).pop();
    if (target !== undefined) seekLandmark(target);
  };
  const faster = (direction) => {
    const speed = byId("speed");
    speed.selectedIndex = Math.min(Math.max(speed.selectedIndex + direction, 0), speed.options.length - 1);
  };

  byId("time").max = String(last);
  byId("time").addEventListener("input", (event) => seek(data.t[Number(event.target.value)]));
  byId("play").addEventListener("click", () => setPlaying(!playing));
  byId("previous").addEventListener("click", () => jump(-1));
  byId("next").addEventListener("click", () => jump(1));
  const go = (id) => () => byId(id).scrollIntoView();
  const keys = {
    " ": () => setPlaying(!playing), ",": () => seek(data.t[Math.max(at - 1, 0)]),
    ".": () => seek(data.t[Math.min(at + 1, last)]), "[": () => jump(-1), "]": () => jump(1),
    "-": () => faster(-1), "−": () => faster(-1), "+": () => faster(1), "=": () => faster(1),
    Home: () => seek(data.t[0]), End: () => seek(data.t[last]),
    t: go("calls-title"), o: go("log-title"), r: go("report"), l: go("head"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select")) return;
    if (event.key === " " && event.target.matches("button, summary")) return;
    let act = keys[event.key];
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const by = (event.shiftKey ? 60000 : 5000) * (event.key === "ArrowLeft" ? -1 : 1);
      act = () => seek(ms + by);
    }
    if (!act) return;
    event.preventDefault();
    act();
  });
  seek(data.t[last]);
  document.documentElement.dataset.ready = "1";
})();

// Sorts, searches and copies. The page can be read without it.
// Text is only ever set as text, so nothing from a capture can become markup here.
"use strict";
(() => {
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);
  root.classList.add("js");

  // An element with a class, text and children.
  const make = (name, className, text, ...children) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== null && text !== undefined && text !== "") element.textContent = text;
    element.append(...children);
    return element;
  };
  const name = (text) => make("bdi", "", text);
  const sign = (which) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "sign " + which);
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", "#sign-" + which);
    svg.append(use);
    return svg;
  };

  // ---- Copying.

  const say = (text) => { find("live").textContent = text; };
  const copied = (button, text) => {
    const done = () => {
      const before = button.dataset.before || button.textContent;
      button.dataset.before = before;
      button.textContent = "copied";
      say("copied");
      setTimeout(() => { button.textContent = before; say(""); }, 1500);
    };
    const byHand = () => {
      const area = make("textarea", "hidden", "");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      done();
    };
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(text).then(done, byHand);
    } else {
      byHand();
    }
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    if (button.dataset.copyTable) {
      const rows = [...find(button.dataset.copyTable).rows];
      const cells = (row) => [...row.cells].map((cell) => cell.innerText.trim().replace(/\s+/g, " "));
      copied(button, rows.map((row) => cells(row).join("\t")).join("\n"));
    } else {
      copied(button, button.previousElementSibling.textContent);
    }
  });

  // ---- What is folded: opened when a link leads there, and for printing.

  const reveal = () => {
    const target = location.hash.length > 1 && find(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });

  // ---- The table of flows.

  const form = find("flow-form");
  const table = find("flow-table");
  const embedded = find("flow-data");
  if (!form || !embedded) return;

  // Places of the columns of a row; those in WORDS are places in the list of words.
  const [ID, CAPTURE, SIGN, VERDICT, TRANSPORT, FROM, FROM_PORT, TO, TO_PORT, SERVICE, FIRST, LAST,
    PACKETS, PACKETS_BACK, BYTES, BYTES_BACK, TIME, FULL] = Array(18).keys();
  const PAGE = 100;
  const BAD = ["dropped", "refused", "failed", "mixed"];
  const state = { data: null, rows: [], shown: PAGE, by: ID, down: false, text: null };
  const word = (row, column) => state.data.words[row[column]];

  const columns = [
    { title: "id", by: ID },
    { title: "time", by: TIME },
    { title: "initiator", by: FROM, words: true },
    { title: "responder", by: TO, words: true },
    { title: "port", by: TO_PORT },
    { title: "service", by: SERVICE, words: true },
    { title: "verdict", by: VERDICT, words: true },
    { title: "frames", by: FIRST },
  ];

  const load = () => {
    if (!state.data) {
      state.data = JSON.parse(embedded.textContent);
      embedded.textContent = "";
    }
    return state.data;
  };

  // What is searched in a row; built when the first search comes.
  const searched = () => {
    state.text ??= state.data.flows.map((row) => (
      "#" + row[ID] + " " + word(row, FROM) + " " + word(row, TO) + " " + word(row, TRANSPORT) + "/"
      + row[TO_PORT] + " " + word(row, SERVICE) + " " + word(row, VERDICT)
    ).toLowerCase());
    return state.text;
  };

  const choose = () => {
    const { flows } = load();
    const wanted = find("flow-sign").value;
    const terms = find("flow-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = terms.length ? searched() : null;
    const fits = (row, place) => {
      const which = word(row, SIGN);
      if (wanted && wanted !== which && !(wanted === "bad" && BAD.includes(which))) return false;
      return terms.every((term) => text[place].includes(term));
    };
    state.rows = flows.filter(fits);
    const column = columns.find((each) => each.by === state.by);
    const key = column.words ? (row) => word(row, state.by) : (row) => row[state.by];
    const order = (one, two) => {
      const [a, b] = [key(one), key(two)];
      if (a === b) return one[ID] - two[ID];
      if (a === null || b === null) return a === null ? 1 : -1;
      return (a < b ? -1 : 1) * (state.down ? -1 : 1);
    };
    if (state.by !== ID || state.down) state.rows.sort(order);
    state.shown = PAGE;
    draw();
  };

  const ladder = (row, steps) => {
    const table = make("table", "ladder", "", make("caption", "hidden", "Packets that decide, in order"));
    const posts = make("th", "posts", "", make("span", "", "", name(word(row, FROM))),
      make("span", "", "", name(word(row, TO))));
    posts.scope = "col";
    const heads = [make("th", "", "time"), make("th", "", "frame"), posts, make("th", "", "seen in it")];
    for (const head of heads) head.scope = "col";
    table.append(make("thead", "", "", make("tr", "", "", ...heads)));
    const body = make("tbody");
    for (const [frame, ...rest] of steps) {
      if (frame === null) {
        const [height, pause, ending] = rest;
        const first = make("td", "", pause);
        first.colSpan = 2;
        const lane = make("td", "lane", "", ...(ending ? [make("em", "", ending)] : []));
        body.append(make("tr", "pause " + height, "", first, lane, make("td")));
      } else {
        const [time, arrow, sender, label, facts, note] = rest;
        const said = make("span", "arrow " + arrow, "", make("span", "hidden", sender + " sends "),
          make("b", "", label));
        const told = make("td", "facts");
        for (const fact of facts.split("  ")) if (fact) told.append(make("span", "", fact), " ");
        if (note) told.append(make("q", "", note));
        body.append(make("tr", "rung", "", make("td", "when", time), make("td", "frame", frame),
          make("td", "lane", "", said), told));
      }
    }
    table.append(body);
    return table;
  };

  // A box that scrolls, which the keyboard can reach.
  const scroll = (label, child) => {
    const box = make("div", "scroll", "", child);
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", label);
    return box;
  };

  const detail = (row) => {
    const body = make("div", "body");
    const capture = state.data.captures[row[CAPTURE]];
    if (capture) body.append(make("p", "soft", "Capture " + (row[CAPTURE] + 1) + ": ", name(capture)));
    if (!row[FULL]) {
      body.append(make("p", "", "Kept short here; portmortem flows --format json tells it in full."));
      return body;
    }
    const [explanation, reasons, wireshark, netmon, service, steps] = row[FULL];
    body.append(make("p", "", explanation));
    body.append(make("p", "soft", service + ". Packets " + row[PACKETS] + " there, " + row[PACKETS_BACK]
      + " back; payload " + row[BYTES] + " and " + row[BYTES_BACK] + " bytes."));
    if (steps.length) body.append(scroll("ladder", ladder(row, steps)));
    if (reasons.length) {
      body.append(make("p", "label", "Who refused"));
      body.append(make("ul", "", "", ...reasons.map((reason) => make("li", "", reason))));
    }
    const filters = make("dl", "filters");
    for (const [program, filter] of [["Wireshark", wireshark], ["Network Monitor", netmon]]) {
      if (!filter) continue;
      const button = make("button", "copy", "copy", make("span", "hidden", " the filter"));
      button.type = "button";
      filters.append(make("dt", "", program), make("dd", "", "", make("code", "", filter), " ", button));
    }
    body.append(filters);
    return body;
  };

  const unfold = (row, line, button) => {
    const below = line.nextElementSibling;
    if (below && below.className === "detail") {
      below.remove();
      button.setAttribute("aria-expanded", "false");
      return;
    }
    const cell = make("td", "", "", detail(row));
    cell.colSpan = columns.length;
    line.after(make("tr", "detail", "", cell));
    button.setAttribute("aria-expanded", "true");
  };

  const line = (row) => {
    const button = make("button", "open", row[ID]);
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-label", "flow " + row[ID] + ": show all that is known");
    const time = row[TIME] ? row[TIME].slice(11).replace("Z", "").replace(/(\.\d{6})\d+/, "$1") : "";
    const which = word(row, SIGN);
    const verdict = make("td", "verdict " + which, "", sign(which), " ", word(row, VERDICT));
    const frames = row[FIRST] === row[LAST] ? row[FIRST] : row[FIRST] + "–" + row[LAST];
    const drawn = make("tr", "", "",
      make("td", "many", "", button),
      make("td", "code", time),
      make("td", "", "", name(word(row, FROM))),
      make("td", "", "", name(word(row, TO))),
      make("td", "code", word(row, TRANSPORT) + "/" + row[TO_PORT]),
      make("td", "", "", name(word(row, SERVICE))),
      verdict,
      make("td", "many", frames));
    button.addEventListener("click", () => unfold(row, drawn, button));
    return drawn;
  };

  const heading = (column) => {
    const button = make("button", "", column.title);
    button.type = "button";
    const head = make("th", "", "", button);
    head.scope = "col";
    if (state.by === column.by) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
    button.addEventListener("click", () => {
      state.down = state.by === column.by && !state.down;
      state.by = column.by;
      choose();
      const place = columns.indexOf(column);
      table.querySelectorAll("thead button")[place].focus();
    });
    return head;
  };

  const grouped = (number) => number.toLocaleString("en-US");
  const draw = () => {
    const shown = state.rows.slice(0, state.shown);
    const rows = make("tbody", "", "", ...shown.map(line));
    const drawn = make("table", "flows", "", make("caption", "hidden", "Flows"),
      make("thead", "", "", make("tr", "", "", ...columns.map(heading))), rows);
    table.replaceChildren(scroll("flows", drawn));
    const all = state.data.flows.length;
    const counted = () => {
      find("flow-count").textContent = state.rows.length === all
        ? grouped(all) + (all === 1 ? " flow" : " flows")
        : grouped(state.rows.length) + " of " + grouped(all) + " flows";
    };
    counted();
    if (state.rows.length > state.shown) {
      const button = make("button", "", "show " + grouped(Math.min(PAGE, state.rows.length - state.shown))
        + " more of " + grouped(state.rows.length));
      button.type = "button";
      const more = make("p", "next-rows", "", button);
      button.addEventListener("click", () => {
        const from = state.shown;
        state.shown += PAGE;
        rows.append(...state.rows.slice(from, state.shown).map(line));
        const left = state.rows.length - state.shown;
        if (left <= 0) more.remove();
        else button.textContent = "show " + grouped(Math.min(PAGE, left)) + " more of " + grouped(state.rows.length);
      });
      table.append(more);
    }
  };

  form.addEventListener("submit", (event) => { event.preventDefault(); choose(); });
  let soon = 0;
  find("flow-text").addEventListener("input", () => {
    clearTimeout(soon);
    soon = setTimeout(choose, 120);
  });
  find("flow-sign").addEventListener("change", choose);
  const everything = find("flow-load");
  if (everything) everything.addEventListener("click", choose);
  if (!("many" in table.dataset)) choose();
})();

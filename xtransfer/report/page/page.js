
"use strict";
(() => {
  const element = document.getElementById("records");
  const { specs, software, languages, records } = JSON.parse(element.textContent);
  const command = element.dataset.command;
  const dialog = document.getElementById("record");
  const head = document.getElementById("record-head");
  const body = document.getElementById("record-body");
  const back = document.getElementById("record-back");
  let trail = [];

  const make = (name, text, ...children) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  };
  const keysOf = (text) => text.split(" ").filter((key) => key);
  const bytes = (count) => `${count.toLocaleString("en")} bytes`;

  const opener = (key, text) => {
    const button = make("button", text);
    button.type = "button";
    button.addEventListener("click", () => show({ title: nameOf(key), keys: [key] }));
    return button;
  };
  const nameOf = (key) => (records[key] ? `${records[key].kind}: ${records[key].name}` : key);

  const list = (pairs) => {
    const made = make("dl");
    for (const [name, value] of pairs) {
      const place = make("dd");
      place.append(...(Array.isArray(value) ? value : [value]));
      made.append(make("dt", name), place);
    }
    return made;
  };

  const outcome = (record) => {
    const { scores, metric, tested, ...rest } = record.result;
    if (scores)
      return languages[tested]
        .map(([language, examples], at) => `${language} ${scores[at].toFixed(2)} (${examples.toLocaleString("en")})`)
        .join(", ") + `; ${metric}, test examples in brackets`;
    return Object.entries(rest).map(([name, value]) => `${name.replaceAll("_", " ")}: ${value}`).join(", ");
  };

  const fileLine = ([name, size, more]) =>
    typeof more === "number"
      ? make("div", `${name} ${more} ${more === 1 ? "file" : "files"}, ${bytes(size)}`)
      : make("div", `${name}, ${bytes(size)}, SHA-256 `, make("code", more));

  const card = (key) => {
    const record = records[key];
    if (!record) return make("p", `${key}: not recorded`);
    const spec = make("details", "", make("summary", "Specification"));
    const text = make("pre", JSON.stringify(specs[record.spec], null, 1));
    text.tabIndex = 0;
    spec.append(text);
    const pairs = [
      ["key", make("code", key)],
      ["explain", make("code", `xtransfer explain ${key}`)],
    ];
    const model = record.kind === "evaluate" && record.inputs.model;
    if (model) pairs.push(["compute again", make("code", `xtransfer run ${command} --only model:${model}`)]);
    pairs.push(["result", outcome(record) || "none"]);
    const parents = Object.entries(record.inputs);
    if (parents.length) pairs.push(["from", parents.map(([role, parent]) => opener(parent, `${role} ${parent}`))]);
    if (record.files.length) pairs.push(["files", record.files.map(fileLine)]);
    pairs.push(["took", `${record.seconds.toLocaleString("en")} s`]);
    pairs.push(["with", Object.entries(software[record.with]).map((pair) => pair.join(" ")).join(", ")]);
    const made = make("section", "", make("h3", nameOf(key)), list(pairs), spec);
    return made;
  };

  const LONG = 12;
  const show = (page, kept = true) => {
    if (kept) trail.push(page);
    head.textContent = page.title;
    body.replaceChildren();
    if (page.note) body.append(make("p", page.note));
    if (page.source) body.append(make("p", `Source: ${page.source}`));
    if (page.keys.length > LONG) {
      body.append(make("p", `${page.keys.length} steps are behind this number:`));
      const all = make("p");
      all.append(...page.keys.map((key) => opener(key, nameOf(key))));
      body.append(all);
    } else body.append(...page.keys.map(card));
    back.hidden = trail.length < 2;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    head.focus();
  };

  const titleOf = (cell) => {
    const table = cell.closest("table");
    if (!table) return cell.querySelector("title")?.textContent ?? "Record";
    const row = cell.parentElement;
    const names = [row.cells[0].textContent, table.tHead.rows[0].cells[cell.cellIndex].textContent];
    return `${names.join(", ")}: ${cell.textContent.replace(/\s+/g, " ").trim()}`;
  };

  const open = (cell) => {
    trail = [];
    const { source, note } = cell.dataset;
    const keys = source ? "" : cell.closest("[data-keys]").dataset.keys;
    show({ title: titleOf(cell), keys: keysOf(keys), source, note });
  };

  // One stop of the Tab key for each table; the arrow keys go from number to number.
  const wire = (table) => {
    let first = true;
    for (const cell of table.querySelectorAll("td.n")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...cell.childNodes);
      button.tabIndex = first ? 0 : -1;
      first = false;
      cell.append(button);
    }
    table.addEventListener("click", (event) => {
      const button = event.target.closest("td button");
      if (!button) return;
      rove(table, button);
      open(button.parentElement);
    });
    table.addEventListener("keydown", (event) => {
      const button = event.target.closest("td button");
      const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [0, 0];
      if (!button || event.ctrlKey || event.altKey || event.metaKey || (!down && !right)) return;
      event.preventDefault();
      const next = beyond(table, button.parentElement, down, right);
      if (next) {
        rove(table, next);
        const [corner] = table.tHead.rows[0].cells;
        // What has the focus must not lie behind the fixed heads, nor half beyond the edge.
        table.parentElement.style.scrollPadding = `${corner.offsetHeight}px 0 0 ${corner.offsetWidth}px`;
        next.scrollIntoView({ block: "nearest", inline: "nearest" });
        next.focus({ preventScroll: true });
      }
    });
    table.parentElement.after(copier(table));
  };

  // One table at a time, so that a page of many thousand numbers answers meanwhile.
  const tables = [...document.querySelectorAll("table")];
  const wireNext = () => {
    if (tables.length) wire(tables.shift());
    if (tables.length) setTimeout(wireNext);
  };

  function beyond(table, cell, down, right) {
    const rows = [...table.tBodies[0].rows];
    let y = rows.indexOf(cell.parentElement) + down;
    let x = cell.cellIndex + right;
    while (rows[y]?.cells[x]) {
      const found = rows[y].cells[x].querySelector("button");
      if (found) return found;
      y += down;
      x += right;
    }
    return null;
  }

  function rove(table, button) {
    table.querySelector('td button[tabindex="0"]').tabIndex = -1;
    button.tabIndex = 0;
  }

  function copier(table) {
    const button = make("button", "Copy table");
    button.type = "button";
    button.setAttribute("aria-label", `Copy table: ${table.caption.textContent}`);
    const said = make("span");
    said.setAttribute("role", "status");
    const place = make("p", "", button, " ", said);
    place.className = "script copy";
    button.addEventListener("click", () => {
      const selection = getSelection();
      selection.selectAllChildren(table.parentElement);
      // The Clipboard API is not there on a page served without TLS.
      said.textContent = document.execCommand("copy") ? "Copied." : "This browser does not let pages copy.";
      selection.removeAllRanges();
    });
    return place;
  }

  const plain = (cell) => {
    const copy = cell.cloneNode(true);
    for (const each of copy.querySelectorAll(".heard")) each.remove();
    const gain = copy.querySelector("b");
    if (gain) gain.textContent = `(${gain.textContent})`;
    return copy.textContent.replace(/\s+/g, " ").trim();
  };

  // What is selected of a table is copied as cells: spreadsheets drop buttons, or make two rows of two lines.
  document.addEventListener("copy", (event) => {
    const selection = getSelection();
    if (!selection.rangeCount) return;
    const range = selection.getRangeAt(0);
    const around = range.commonAncestorContainer;
    const within = around instanceof Element ? around : around.parentElement;
    const table = within.closest(".scroll")?.querySelector("table");
    if (!table || within.closest("td, th, caption")) return;
    const rows = [...table.rows]
      .map((row) => [...row.cells].filter((each) => range.intersectsNode(each)).map(plain))
      .filter((cells) => cells.length);
    if (!rows.length) return;
    const copy = make("table");
    copy.append(...rows.map((cells) => make("tr", "", ...cells.map((text) => make("td", text)))));
    event.clipboardData.setData("text/plain", rows.map((cells) => cells.join("\t")).join("\n"));
    event.clipboardData.setData("text/html", copy.outerHTML);
    event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const mark = event.target.closest?.("svg [data-keys]");
    if (mark) open(mark);
  });
  back.addEventListener("click", () => {
    trail.pop();
    show(trail.at(-1), false);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });

  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
  });
  document.documentElement.classList.add("scripted");
  wireNext();
})();

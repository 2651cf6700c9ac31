// The desk without reloading. Everything works without this file; it only saves waiting and clicking.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const list = $("[data-list]"), reading = $("[data-ticket]");
  const title = document.title;
  let waiting = [], beyond = 0, busy = false, again = false;
  let held = list ? +list.dataset.held : null;

  const fetchPart = async (address) => {
    const answer = await fetch(address, { credentials: "same-origin", headers: { "X-Part": "1" } });
    if (answer.redirected || !answer.ok) throw new Error(answer.status);
    const shell = document.createElement("template");
    shell.innerHTML = await answer.text();
    return shell.content;
  };

  // The list: what changed is changed in place, what is new waits behind "n new" unless nobody is reading here.
  const untouched = () => {
    const at = document.activeElement, scrolled = list.scrollHeight > list.clientHeight + 1 ? list.scrollTop : scrollY;
    return scrolled < 40 && !(at && list.contains(at) && at !== list);
  };

  // Each new row goes to its place in the order the server gave.
  const put = (rows) => {
    for (const [row, next] of waiting) {
      const before = next && $(`li[data-id="${next}"]`, rows);
      rows.insertBefore(row, before || null);
      $(".row", row).classList.add("new");
    }
    if (waiting.length) $$(".empty", list).forEach((empty) => empty.remove());
    waiting = [];
  };

  const showBar = () => {
    const bar = $(".fresh", list), n = waiting.length + beyond;
    bar.hidden = !n;
    if (n) bar.textContent = `${n} new – show`;
  };

  const refreshList = async () => {
    const part = $("ol", await fetchPart(list.dataset.list + (reading ? "&open=" + reading.dataset.ticket : "")));
    const rows = $(".rows", list), have = new Map($$("li", rows).map((row) => [row.dataset.id, row]));
    const incoming = [...part.children], ids = new Set(incoming.map((row) => row.dataset.id));
    const fresh = [];
    incoming.forEach((row, i) => {
      const old = have.get(row.dataset.id);
      if (!old) fresh.push([row, incoming[i + 1]?.dataset.id]);
      else if (old.dataset.mark !== row.dataset.mark) {
        old.dataset.mark = row.dataset.mark;
        copyRow(old, row);
      }
    });
    const gone = $(".older", list) ? [] : [...have].filter(([id]) => !ids.has(id)).map(([, row]) => row);
    for (const row of gone) if (!row.contains(document.activeElement) && !$("[aria-current]", row)) row.remove();
    waiting = fresh.reverse();
    const counts = JSON.parse(part.dataset.counts || "{}"), here = counts[list.dataset.view] || 0;
    if (held !== null && list.dataset.whole) beyond = Math.max(0, beyond + here - held - fresh.length);
    held = here;
    if (untouched()) put(rows);
    showBar();
    const most = +($("[data-counted]")?.dataset.counted || Infinity), said = (n) => (n >= most ? `${n}+` : n || "");
    $$("[data-view]:not(.list)").forEach((link) => { $(".n", link).textContent = said(counts[link.dataset.view]); });
    const unread = +part.dataset.waiting, summary = $("[data-summary]");
    if (summary) summary.textContent = part.dataset.summary;
    document.title = (unread ? `(${unread}) ` : "") + title.replace(/^\(\d+\) /, "");
  };

  const copyRow = (old, row) => {
    const from = $(".row", row), to = $(".row", old);
    to.className = from.className;
    to.innerHTML = from.innerHTML;
  };

  // The conversation: new messages are appended, changed ones (a delivery's words) replaced; what you write stays.
  const refreshThread = async () => {
    const part = $(".thread", await fetchPart(`/tickets/${reading.dataset.ticket}/thread`));
    const thread = $(".thread", reading), have = new Map($$(".msg", thread).map((m) => [m.dataset.key, m]));
    let arrived = false;
    for (const message of [...part.children]) {
      const old = have.get(message.dataset.key);
      if (!old) {
        arrived = arrived || !message.classList.contains("note");
        thread.append(message);
      } else if (old.dataset.mark !== message.dataset.mark && !old.contains(document.activeElement)) old.replaceWith(message);
    }
    // An answer written before a new message was seen is refused; one that only a colleague's click overtook is not.
    const version = $("input[name=version]");
    if (version && !arrived) version.value = part.dataset.version;
    markRead();
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      if (list) await refreshList();
      if (reading) await refreshThread();
    } catch { /* the next ring, or the next click, tries again */ }
    busy = false;
    if (again) { again = false; setTimeout(refresh, 300); }
  };

  // Reading marks read: by a POST of its own, while the page is really looked at.
  const markRead = async () => {
    const form = $("[data-auto-read]");
    const unread = $$(".msg.unread", reading || document).length;
    if (!reading || !unread || document.hidden) return;
    const token = $("input[name=csrf]").value;
    const answer = await fetch(`/tickets/${reading.dataset.ticket}/read`, {
      method: "POST", credentials: "same-origin", redirect: "manual",
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ csrf: token }),
    }).catch(() => null);
    if (answer && form) form.hidden = true;
  };

  const listen = () => {
    let wait = 1000, lost = false;
    const open = () => {
      const events = new EventSource(lost ? "/events" : "/events?since=" + document.body.dataset.at);
      events.onopen = () => { wait = 1000; if (lost) refresh(); lost = false; };
      events.addEventListener("changed", () => refresh());
      events.onerror = () => {
        lost = true;
        if (events.readyState !== EventSource.CLOSED) return;
        events.close();
        setTimeout(open, wait);
        wait = Math.min(wait * 2, 60000);
      };
      addEventListener("pagehide", () => events.close(), { once: true });
    };
    open();
  };

  if (list) {
    $(".fresh", list).addEventListener("click", () => {
      if (beyond) { location.reload(); return; }
      put($(".rows", list));
      showBar();
      list.scrollTop = 0;
      scrollTo({ top: 0 });
      const row = $(".row", list);
      if (row) row.focus();
    });
    const key = "scroll " + list.dataset.list;
    list.scrollTop = +sessionStorage.getItem(key) || 0;
    addEventListener("pagehide", () => sessionStorage.setItem(key, list.scrollTop));
  }
  if (list || reading) listen();
  if (reading) {
    markRead();
    document.addEventListener("visibilitychange", markRead);
    if (!location.hash && matchMedia("(min-width: 70rem)").matches) {
      const last = $(".thread .msg:last-child", reading);
      if (last && last.getBoundingClientRect().bottom > innerHeight) last.scrollIntoView({ block: "center" });
    }
  }

  // How long a text is as SMS: the server counts, a moment after the last key.
  for (const place of $$("[data-count]")) {
    const form = place.closest("form"), text = $("textarea", form), to = form.elements.to;
    let last = "", timer = 0;
    const recount = async () => {
      const whom = to ? to.value : place.dataset.count, now = whom + "\n" + text.value;
      if (now === last) return;
      last = now;
      const body = new URLSearchParams({ csrf: form.elements.csrf.value, to: whom, text: text.value });
      const answer = await fetch("/messages/count", {
        method: "POST", credentials: "same-origin", headers: { "X-Part": "1" }, redirect: "manual", body,
      }).catch(() => null);
      if (answer && answer.ok && now === last) place.innerHTML = await answer.text();
    };
    const soon = () => { clearTimeout(timer); timer = setTimeout(recount, 300); };
    for (const box of [text, to]) if (box) box.addEventListener("input", soon);
    place.addEventListener("click", (event) => {
      const button = event.target.closest("[data-plain]");
      if (!button) return;
      event.preventDefault();
      text.value = button.dataset.plain;
      text.dispatchEvent(new Event("input"));
      text.focus();
    });
    if (text.value) soon();
  }

  // What is being written outlives a closed tab or an ended session; once it is sent it is forgotten.
  const sending = sessionStorage.getItem("sending");
  if (sending && $("[role=status]")) localStorage.removeItem(sending);
  sessionStorage.removeItem("sending");
  for (const form of $$("form[data-draft]")) {
    const place = "draft " + form.dataset.draft, texts = $$("textarea", form), rich = form.elements.rich;
    let kept = {};
    try { kept = JSON.parse(localStorage.getItem(place) || "{}"); } catch { /* not one of ours */ }
    if (!texts.some((text) => text.value) && !$("[role=alert]")) {
      for (const text of texts) {
        text.value = kept[text.name] || "";
        if (text.value && text.closest("details")) text.closest("details").open = true;
      }
      if (rich && kept.rich) rich.checked = true;
    }
    form.addEventListener("input", () => {
      const now = Object.fromEntries(texts.filter((text) => text.value).map((text) => [text.name, text.value]));
      if (rich && rich.checked) now.rich = true;
      texts.some((text) => text.value) ? localStorage.setItem(place, JSON.stringify(now)) : localStorage.removeItem(place);
    });
    for (const button of $$("[data-preview]", form)) button.addEventListener("click", async (event) => {
      event.preventDefault();
      const body = new URLSearchParams({ csrf: form.elements.csrf.value });
      for (const text of texts) body.set(text.name, text.value);
      if (rich && rich.checked) body.set("rich", "1");
      const answer = await fetch("/messages/preview", {
        method: "POST", credentials: "same-origin", headers: { "X-Part": "1" }, redirect: "manual", body,
      }).catch(() => null);
      if (!answer || !answer.ok) { button.closest("form").requestSubmit(button); return; }
      const shown = $("[data-preview-place]", form);
      shown.innerHTML = await answer.text();
      shown.scrollIntoView({ block: "nearest" });
    });
    form.addEventListener("submit", (event) => {
      if (event.submitter && event.submitter.name) return;
      sessionStorage.setItem("sending", place);
      for (const button of $$("button", form)) setTimeout(() => { button.disabled = true; });
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
  }
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // Names are completed as they are typed; choosing one says exactly which. Without this the server asks back.
  for (const input of $$("input[data-find]")) {
    const choices = document.createElement("datalist"), form = input.form, id = document.createElement("input");
    choices.id = input.id + "-choices";
    id.type = "hidden";
    id.name = input.dataset.id || "";
    let wait = 0, asked = "";
    const choose = () => {
      const option = $$("option", choices).find((one) => one.value === input.value);
      if (!input.dataset.id) return;
      id.value = option ? option.dataset.id : "";
      if (!option) id.remove();
      else { $$(`[type=radio][name=${id.name}]`, form).forEach((radio) => { radio.checked = false; }); form.append(id); }
    };
    const ask = async () => {
      const type = input.dataset.type && form.elements[input.dataset.type].value;
      const query = new URLSearchParams({ q: asked = input.value, type: type === "tag" ? "-" : type || "" });
      const answer = await fetch(`${input.dataset.find}?${query}`, { credentials: "same-origin", headers: { "X-Part": "1" } });
      if (!answer.ok || asked !== input.value) return;
      const seen = new Set();
      choices.replaceChildren(...(await answer.json()).map((one) => {
        const option = document.createElement("option");
        option.value = seen.has(one.name) ? `${one.name} (${one.more})` : one.name;
        option.label = `${one.name} · ${one.more}`;
        option.dataset.id = one.id;
        seen.add(one.name);
        return option;
      }));
      choose();
    };
    input.setAttribute("list", choices.id);
    input.after(choices);
    input.addEventListener("input", () => {
      choose();
      clearTimeout(wait);
      if (input.value.trim() && !id.isConnected) wait = setTimeout(() => ask().catch(() => {}), 150);
    });
  }

  // One open menu at a time; Escape and a click elsewhere close it.
  const close = (but) => $$("details.menu[open]").forEach((menu) => { if (!menu.contains(but)) menu.open = false; });
  document.addEventListener("click", (event) => close(event.target));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = $("details.menu[open]");
    if (menu) { menu.open = false; $("summary", menu).focus(); }
  });
})();

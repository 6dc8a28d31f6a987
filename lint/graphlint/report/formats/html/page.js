"use strict";
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const one = (id) => document.getElementById(id);
  const text = one("text"), rule = one("rule"), artifact = one("artifact"), shown = one("shown");
  const findings = [...document.querySelectorAll(".finding")].map((element) => ({
    element,
    section: element.closest(".artifact"),
    number: Number(element.dataset.number),
    words: [element.querySelector("summary"), element.querySelector(".source"), element.querySelector(".facts")]
      .map((part) => (part ? part.textContent : "")).join(" ").toLowerCase(),
  }));
  for (const finding of findings) finding.words += " " + finding.section.querySelector("h2").textContent.toLowerCase();
  const total = findings.reduce((sum, finding) => sum + finding.number, 0);

  const checked = (name) => {
    const boxes = [...form.querySelectorAll(`input[name="${name}"]`)];
    return boxes.length ? new Set(boxes.filter((box) => box.checked).map((box) => box.value)) : null;
  };

  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const severities = checked("severity"), statuses = checked("status");
    const sections = new Set();
    let left = 0;
    for (const { element, section, number, words: said } of findings) {
      const data = element.dataset;
      const matches = (!rule.value || data.code === rule.value)
        && (!artifact.value || section.dataset.artifact === artifact.value)
        && (!severities || severities.has(data.severity))
        && (!statuses || statuses.has(data.status))
        && words.every((word) => said.includes(word));
      element.hidden = !matches;
      if (matches) {
        left += number;
        sections.add(section);
      }
    }
    for (const section of document.querySelectorAll(".artifact")) {
      const all = !section.querySelector(".finding");
      section.hidden = !(sections.has(section) || (all && left === total && !artifact.value));
    }
    one("nothing").hidden = left > 0;
    shown.textContent = left === total ? `${total} ${total === 1 ? "finding" : "findings"}` : `${left} of ${total} findings`;
  };

  const setOpen = (open) => {
    for (const { element } of findings) if (!element.hidden) element.open = open;
  };

  // A picture that is wider than the page opens with the node that it is about in the middle.
  const center = (canvas) => {
    const node = canvas.querySelector(".glp-focus");
    if (!node) return;
    const inside = node.getBoundingClientRect(), around = canvas.getBoundingClientRect();
    canvas.scrollLeft += inside.left + inside.width / 2 - around.left - around.width / 2;
    canvas.scrollTop += inside.top + inside.height / 2 - around.top - around.height / 2;
  };
  for (const { element } of findings) {
    element.addEventListener("toggle", () => {
      if (element.open) element.querySelectorAll(".canvas").forEach(center);
    });
  }

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  one("open").addEventListener("click", () => setOpen(true));
  one("close").addEventListener("click", () => setOpen(false));
  for (const button of document.querySelectorAll(".only")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      rule.value = button.dataset.only;
      apply();
      form.scrollIntoView();
    });
  }
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input[type=search], select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      text.focus();
    }
  });
  window.addEventListener("beforeprint", () => setOpen(true));
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.classList.contains("finding")) target.open = true;
  form.hidden = false;
  apply();
})();

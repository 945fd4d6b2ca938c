"use strict";
// What a page can do beyond being read: values under the pointer, tables sorted by a column. Nothing is built from text
// but by textContent.
const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
document.body.append(tip);

function tell(words, event) {
  tip.textContent = words;
  tip.hidden = false;
  const edge = document.documentElement.clientWidth - tip.offsetWidth - 4;
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, edge)) + window.scrollX + "px";
  const above = event.clientY - tip.offsetHeight - 12;
  tip.style.top = (above > 4 ? above : event.clientY + 18) + window.scrollY + "px";
}

for (const kind of ["pointermove", "pointerdown"]) {
  document.addEventListener(kind, (event) => {
    const marked = event.target.closest("[data-tip]");
    if (marked) tell(marked.dataset.tip, event);
    else if (!event.target.closest(".cover")) tip.hidden = true;
  });
}

for (const figure of document.querySelectorAll("[data-series]")) {
  const series = JSON.parse(figure.dataset.series);
  const cover = document.createElement("div");
  const line = document.createElement("i");
  cover.className = "cover";
  cover.append(line);
  figure.querySelector(".field").append(cover);
  const nearest = (at, x) => at.reduce((best, one) => (Math.abs(one[0] - x) < Math.abs(best[0] - x) ? one : best));
  const show = (event) => {
    const box = cover.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const first = series.map((one) => nearest(one.at, x)).reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
    line.style.left = first[0] * 100 + "%";
    line.style.display = "block";
    const words = series.map((one) => {
      const point = nearest(one.at, first[0]);
      return one.name + " " + point[3] + (point[2] === first[2] ? "" : " (step " + point[2] + ")");
    });
    tell(["step " + first[2], ...words].join("\n"), event);
  };
  cover.addEventListener("pointermove", show);
  cover.addEventListener("pointerdown", show);
  cover.addEventListener("pointerleave", () => {
    tip.hidden = true;
    line.style.display = "none";
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numbers = head.classList.contains("n");
      const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") !== "descending" : numbers;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => {
        const words = row.cells[column].textContent;
        return numbers ? parseFloat(words.replace(/,/g, "")) || 0 : words;
      };
      const order = (a, b) => (numbers ? value(a) - value(b) : value(a).localeCompare(value(b)));
      const rows = [...table.tBodies[0].rows].sort(order);
      table.tBodies[0].append(...(down ? rows.reverse() : rows));
    });
  });
}

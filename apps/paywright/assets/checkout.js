// Asks the server how the order stands, and shows the page anew when that changes. The page works without it.
(function () {
  "use strict";
  var main = document.querySelector("main");
  var first = null;
  var wait = 1000;
  function ask() {
    fetch(main.dataset.path + "/state", { cache: "no-store" })
      .then(function (answer) { return answer.ok ? answer.json() : null; })
      .then(function (now) {
        if (now && first !== null && now.tag !== first) { location.replace(main.dataset.path); return; }
        if (now && now.standing !== main.dataset.tag) { location.replace(main.dataset.path); return; }
        if (now) { first = now.tag; }
        again();
      })
      .catch(again);
  }
  function again() {
    wait = Math.min(wait * 1.2, 10000);
    setTimeout(ask, wait);
  }
  setTimeout(ask, wait);
})();

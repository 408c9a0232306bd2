(() => {
  const key = "ai-enhancement-settings";
  const toggles = [...document.querySelectorAll("input.ai-toggle")];
  const stored = () => {
    try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; }
  };
  const kept = stored();
  toggles.forEach((toggle) => {
    if (typeof kept[toggle.name] === "boolean") toggle.checked = kept[toggle.name];
    toggle.addEventListener("change", () => {
      const settings = { ...stored(), ...Object.fromEntries(toggles.map((each) => [each.name, each.checked])) };
      try { localStorage.setItem(key, JSON.stringify(settings)); } catch { /* The choice then lasts as long as the page. */ }
    });
  });
})();

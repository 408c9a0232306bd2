(() => {
  const choices = [...document.querySelectorAll('input[name="language"]')];
  const apply = () => {
    const chosen = choices.find((choice) => choice.checked);
    document.documentElement.lang = chosen.value;
    document.title = chosen.dataset.title;
  };
  const wanted = new URLSearchParams(location.search).get("lang");
  const match = wanted && choices.find((choice) => choice.value.toLowerCase().startsWith(wanted.toLowerCase()));
  if (match) match.checked = true;
  choices.forEach((choice) => choice.addEventListener("change", apply));
  apply();
})();

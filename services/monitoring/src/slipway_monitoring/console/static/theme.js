// Dark or light, as somebody chose on any of the pages; else as the system has it.

export function wear(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
}

const worn = localStorage.getItem("theme");
if (worn) wear(worn);

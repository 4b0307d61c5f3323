const darkScheme = matchMedia("(prefers-color-scheme: dark)");

function followScheme() {
  document.querySelector("rapi-doc").setAttribute("theme", darkScheme.matches ? "dark" : "light");
}

followScheme();
darkScheme.addEventListener("change", followScheme);

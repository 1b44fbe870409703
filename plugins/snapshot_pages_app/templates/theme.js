// Airflow keeps its light or dark mode as "theme" in the browser's storage of this host, which tells its other pages of it.
const follow = () => {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme; // as the system is
};
follow();
addEventListener("storage", follow);

// Turns the times on the account page, written in UTC, into the reader's zone; recent ones into words.
(() => {
  "use strict";
  const language = document.documentElement.lang || undefined;
  const whole = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const words = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const steps = [["minute", 60], ["hour", 3600], ["day", 86400]];

  // "2 hours ago", or nothing for what is more than a week away.
  const relative = (seconds) => {
    if (Math.abs(seconds) < 45) {
      return "just now";
    }
    for (const [unit, size] of [...steps].reverse()) {
      const count = Math.round(seconds / size);
      if (Math.abs(count) >= 1) {
        return unit === "day" && Math.abs(count) > 7 ? null : words.format(count, unit);
      }
    }
    return words.format(Math.sign(seconds), "minute");
  };

  const times = [...document.querySelectorAll("time[datetime]")].map((element) => [element, new Date(element.dateTime)]);
  const write = () => {
    for (const [element, instant] of times) {
      if (!Number.isNaN(instant.getTime())) {
        const exact = whole.format(instant);
        element.textContent = relative((instant.getTime() - Date.now()) / 1000) ?? exact;
        element.title = exact;
      }
    }
  };
  write();
  setInterval(write, 30_000);
})();

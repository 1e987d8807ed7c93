// The page works without this script. With it, it refreshes in place while it is seen, and
// has buttons that copy commands.
(() => {
	"use strict";

	const seconds = Number(document.body.dataset.refresh) || 0;
	const status = document.getElementById("announce");

	// A proxy may have cut off the path of the function. Without a slash at its end the
	// relative links of the overview would miss the function.
	if (document.body.dataset.root === "./" && !location.pathname.endsWith("/")) {
		location.replace(location.pathname + "/" + location.search + location.hash);
		return;
	}

	// Times: the zone of the reader is in the tooltip of each.
	const inZone = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "long"});
	const dress = (root) => {
		for (const time of root.querySelectorAll("time[datetime]")) {
			time.title = inZone.format(new Date(time.dateTime));
		}
		for (const code of root.querySelectorAll("code.copy")) {
			if (code.nextElementSibling) {
				continue;
			}
			const button = document.createElement("button");
			button.type = "button";
			button.textContent = "Copy";
			button.setAttribute("aria-label", "Copy: " + code.textContent);
			button.addEventListener("click", () => copy(code, button));
			code.after(button);
		}
	};

	const copy = async (code, button) => {
		try {
			await navigator.clipboard.writeText(code.textContent);
			button.textContent = "Copied";
			say("Copied.");
		} catch {
			const range = document.createRange();
			range.selectNodeContents(code);
			getSelection().removeAllRanges();
			getSelection().addRange(range);
			button.textContent = "Selected";
			say("Selected: copy it with the keyboard.");
		}
		setTimeout(() => { button.textContent = "Copy"; }, 2000);
	};

	// say announces a sentence once. What it said before is not repeated.
	const say = (text) => {
		if (status.textContent !== text) {
			status.textContent = text;
		}
	};

	const sources = new WeakMap(); // of each part, the text that the server gave
	for (const part of document.querySelectorAll("[data-part]")) {
		sources.set(part, part.innerHTML);
	}
	dress(document);
	if (!seconds) {
		return;
	}

	// Parts whose text did not change stay as they are. In the others the focus, open
	// details and scroll positions stay.
	const replace = (old, next) => {
		const active = old.contains(document.activeElement) ? document.activeElement : null;
		const address = active && (active.id ? "#" + CSS.escape(active.id) : active.getAttribute("href") && `a[href="${CSS.escape(active.getAttribute("href"))}"]`);
		const nth = active && [...old.querySelectorAll(active.localName)].indexOf(active);
		const open = [...old.querySelectorAll("details[open]")].map((d) => d.id);
		const scrolled = [...old.querySelectorAll(".scroll")].map((s) => [s.id, s.scrollLeft, s.scrollTop]);
		old.replaceChildren(...next.childNodes);
		for (const id of open) {
			document.getElementById(id)?.setAttribute("open", "");
		}
		for (const [id, left, top] of scrolled) {
			const region = document.getElementById(id);
			if (region) {
				region.scrollLeft = left;
				region.scrollTop = top;
			}
		}
		dress(old);
		if (active && !old.contains(document.activeElement)) {
			const again = address && old.querySelector(address) || old.querySelectorAll(active.localName)[nth];
			again?.focus({preventScroll: true});
		}
	};

	// update puts a new document in the place of this one, part by part. If parts came or
	// went, the whole content is exchanged.
	const update = (next) => {
		const heading = document.querySelector("h1")?.textContent, other = next.querySelector("h1")?.textContent;
		if (heading !== other) {
			say(other || ""); // the state of a request has changed
		}
		document.title = next.title;
		const parts = [...document.querySelectorAll("[data-part]")], others = [...next.querySelectorAll("[data-part]")];
		if (parts.length !== others.length || parts.some((p, i) => p.id !== others[i].id)) {
			replace(document.getElementById("pulse"), next.getElementById("pulse"));
			replace(document.getElementById("main"), next.getElementById("main"));
			for (const part of document.querySelectorAll("[data-part]")) {
				sources.delete(part);
			}
			return;
		}
		parts.forEach((part, i) => {
			const text = others[i].innerHTML;
			if (sources.get(part) !== text) {
				sources.set(part, text);
				replace(part, others[i]);
			}
		});
	};

	// busy says that a reader selects text or fills in a form, which must not be lost.
	const busy = () => {
		const selection = getSelection();
		return !selection.isCollapsed && document.getElementById("main").contains(selection.anchorNode) || document.activeElement?.localName === "input" && document.activeElement.value !== document.activeElement.defaultValue;
	};

	let timer = 0, failed = false;
	const refresh = async () => {
		if (document.hidden || busy()) {
			plan();
			return;
		}
		try {
			const answer = await fetch(location.href, {headers: {Accept: "text/html"}, cache: "no-store", credentials: "same-origin"});
			if (!(answer.headers.get("Content-Type") || "").startsWith("text/html")) {
				throw new Error("no page");
			}
			const next = new DOMParser().parseFromString(await answer.text(), "text/html");
			if (!next.getElementById("main") || !next.getElementById("pulse")) {
				throw new Error("another page");
			}
			if (!document.hidden && !busy()) {
				update(next);
			}
			if (failed) {
				failed = false;
				say("Refreshing again.");
			}
		} catch {
			if (!failed) {
				failed = true;
				say("The page could not be refreshed. It tries again; you may have to sign in anew by loading it.");
			}
		}
		plan();
	};
	const plan = () => {
		clearTimeout(timer);
		if (!document.hidden) {
			timer = setTimeout(refresh, seconds * 1000);
		}
	};
	document.addEventListener("visibilitychange", () => {
		clearTimeout(timer);
		if (!document.hidden) {
			refresh();
		}
	});
	plan();
})();

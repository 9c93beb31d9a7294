// Calls of the control API, and the stream of events.

// call makes a call and returns what it answers, JSON as a value unless it is asked for as it is. A problem is an Error with
// the answer's text and its mistakes.
export async function call(method, path, body, asItIs) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    const text = typeof body === "string";
    options.body = text ? body : JSON.stringify(body);
    options.headers["Content-Type"] = text ? "application/yaml" : "application/json";
  }
  const response = await fetch(path, options);
  const json = (response.headers.get("Content-Type") || "").includes("json");
  const value = json && !(asItIs && response.ok) ? await response.json() : await response.text();
  if (!response.ok) {
    const problem = new Error((json && (value.error || value.status)) || `${response.status} ${response.statusText}`);
    problem.status = response.status;
    problem.mistakes = (json && value.mistakes) || [];
    throw problem;
  }
  return value;
}

export const get = (path) => call("GET", path);

// watch follows the journal behind the event number since, and calls onEvents with what comes, many at a time; where more
// happens than is told, with a number of events that were skipped among them. It connects again by itself, going on where it was, until the signal ends it. onState is told whether there is a connection.
export async function watch({ request, since, signal, onEvents, onState }) {
  let last = since;
  while (!signal.aborted) {
    try {
      const filter = request ? `&request=${request}` : "";
      const headers = last ? { "Last-Event-ID": String(last) } : {};
      const response = await fetch(`events?limit=500${filter}`, { headers, signal });
      if (!response.ok) throw new Error(response.statusText);
      onState(true);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ; ) {
        const { value, done } = await reader.read();
        if (done) break;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        const events = [];
        for (const block of blocks) {
          const data = block.split("\n").find((line) => line.startsWith("data: "));
          if (!data) continue;
          const event = JSON.parse(data.slice(6));
          if (event.skipped) event.seq = last + 0.5; // its place in the journal
          else last = event.seq;
          events.push(event);
        }
        if (events.length) onEvents(events);
      }
    } catch {
      // as an end of the stream
    }
    if (signal.aborted) return;
    onState(false);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

// copy puts text on the clipboard, also where the page is no secure context.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("aria-hidden", "true");
    area.className = "offscreen";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

// save offers text as a file to download.
export function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

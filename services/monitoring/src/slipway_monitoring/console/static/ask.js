// What the pages beside the console ask it; whoever has not logged in is led to where one does.

export async function asked(path, words = "") {
  const answer = await fetch(`/ops/api/${path}?${words}`, { signal: AbortSignal.timeout(30000) });
  if (answer.status === 401) {
    location.assign("/ops/");
    throw new Error("log in first");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.detail ?? `the console answers ${answer.status}`);
  return told;
}

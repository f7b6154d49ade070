/** A Worker that reads a context and answers for each flag: with the reasons, or in a flat map. */
export const answer = (evaluate) => ({
  async fetch(request) {
    const { context } = await request.json();
    const flags = evaluate(context);
    if (request.url.endsWith("/details")) return Response.json({ flags });
    const map = {};
    for (const { key, value } of flags) map[key] = value;
    return Response.json(map);
  },
});

// What a view stands on: reads that end when it is left, and the revision that its reader was shown.
import { get } from "./api.js";

export function context({ params, query, signal, reload, go, turn }) {
  let revision = null;
  const view = {
    params,
    query,
    signal,
    reload,
    go,
    turn,
    /** The oldest of what was read: a change is made for that, so nothing that came between is overlooked. */
    get revision() {
      return revision;
    },
    async read(path, search) {
      const answer = await get(path, search, signal);
      if (answer.revision !== null)
        revision = revision === null ? answer.revision : Math.min(revision, answer.revision);
      return answer.data;
    },
    /** The same for what may not be there or may fail: then `null`, or what `otherwise` makes of the error. */
    async perhaps(path, search, otherwise = () => null) {
      try {
        return await view.read(path, search);
      } catch (error) {
        if (error.kind === "gone" || error.status === 401) throw error;
        return otherwise(error);
      }
    },
  };
  return view;
}

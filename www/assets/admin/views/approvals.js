// Changes that wait for somebody else.

import { h } from "../../dom.js";
import { relative, when } from "../../format.js";
import { at, may, who } from "../api.js";
import { change } from "../change.js";
import { actions, actorName, card, empty, facts, soft, whyNot } from "../parts.js";

function waiting(view, approval) {
  const isOwn = approval.by.id === who().id;
  const isManager = who().role === "release_manager";
  const agree = () =>
    change(view, {
      title: `Approve: ${approval.summary}`,
      submit: "Approve and do it",
      method: "POST",
      path: at`/rollout/${approval.target}/approve`,
      body: () => ({ approval: approval.id }),
    });
  const withdraw = () =>
    change(view, {
      title: `Withdraw: ${approval.summary}`,
      submit: "Withdraw",
      danger: true,
      method: "DELETE",
      path: at`/admin/approvals/${approval.id}`,
      body: () => ({}),
    });
  return card(
    approval.summary,
    facts([
      ["Of", h("code", {}, approval.target)],
      ["Asked by", actorName(approval.by)],
      ["Why", approval.reason || "–"],
      ["Since", when(approval.created)],
      ["Ends", when(approval.expires), ` (${relative(approval.expires)})`],
    ]),
    isOwn && soft("You asked for it: another release manager has to agree."),
    !isManager && !isOwn && whyNot("approve what waits; a release manager may"),
    actions([
      isManager && !isOwn && { id: `approve-${approval.id}`, text: "Approve …", tone: "primary", run: agree },
      may("withdraw_approval") && { id: `withdraw-${approval.id}`, text: "Withdraw …", run: withdraw },
    ]),
  );
}

export async function view(view) {
  const { approvals } = await view.read("/admin/approvals");
  return [
    approvals.map((approval) => waiting(view, approval)),
    approvals.length === 0 &&
      card(
        "Nothing waits",
        empty("Where the policy asks for two people, a change waits here for the second one, for a day."),
      ),
    soft("A stage that a plan may leave is approved with the plan itself."),
  ];
}

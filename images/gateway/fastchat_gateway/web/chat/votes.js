// "Which is better?": FastChat's arena. Votes stay in this browser until somebody exports them, as lines of JSON with
// the names that FastChat's own logs of votes have.
import { button, el } from "../core/dom.js";
import { load, save } from "../core/store.js";

const NAME = "fastchat.votes";
const MOST = 2000;
const LETTERS = "ABCD";

/** All votes, the oldest first. */
export function votes() {
  return load(NAME, []).filter((vote) => vote && typeof vote.type === "string");
}

/** As lines of JSON. */
export function votesAsLines() {
  return votes().map((vote) => `${JSON.stringify(vote)}\n`).join("");
}

/** How a column is called while its model's name is hidden. */
export function letter(at) {
  return `Model ${LETTERS[at]}`;
}

/** The buttons to vote by; `onVote` is called with the number of the column that won, "tie" or "bad". */
export function voteBar(columns, onVote) {
  const winners = columns.map((_, at) => button(`${LETTERS[at]} is better`, `${letter(at)} is better`, () => onVote(at)));
  const others = [button("Tie", "They are equally good", () => onVote("tie")), button(columns.length > 2 ? "All bad" : "Both bad", "None is good", () => onVote("bad"))];
  return el("div", { class: "votes", role: "group", "aria-label": "Which is better?" }, el("span", {}, "Which is better?"), ...winners, ...others);
}

/** Keeps a vote; false where the browser has no room. */
export function keepVote(conversation, choice) {
  const [left, right] = ["leftvote", "rightvote"];
  const type = choice === "tie" ? "tievote" : choice === "bad" ? "bothbad_vote" : conversation.columns.length === 2 ? [left, right][choice] : `vote_${choice}`;
  const states = conversation.columns.map(({ model, tree }) => ({
    model_name: model,
    messages: tree.path().map(({ role, content }) => ({ role, content })),
  }));
  const vote = {
    tstamp: Math.round(Date.now() / 10) / 100,
    type,
    models: conversation.columns.map(({ model }) => model),
    anony: conversation.blind,
    states,
  };
  return save(NAME, [...votes(), vote].slice(-MOST));
}

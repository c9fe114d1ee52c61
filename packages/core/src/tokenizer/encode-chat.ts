/**
 * Messages to token ids, so that a template's control tokens are tokens and those that a user typed are text.
 *
 * The template is rendered twice. In the second rendering every character of the messages that occurs in some control token is a
 * stand-in from Unicode's private use area, one for one, that occurs in no message: so the second rendering shows which
 * characters the user wrote, wherever the template trimmed, joined, escaped or moved them, and that no control token in it is
 * theirs. Stand-ins put back, the two are equal for most templates, and the text is encoded as a whole with those places closed to
 * control tokens: the ids are those of the plain rendering.
 *
 * A template that looks into a message (changes its case, cuts it at a `</think>` that is a control token) may render the two
 * differently. Then the plain rendering is used if the messages hold no control token's text and both renderings have the same
 * control tokens in the same order; otherwise the second one, stand-ins put back: never open to injection, but the template did
 * not recognise what it looked for.
 *
 * Not taken as the user's: `role` and `type` values and object keys that are plain words, since templates build tokens and branches
 * from them, and variables of the caller. User-defined tokens (such as `<think>` in many vocabularies) are found in user text as in
 * any other.
 */
import type { ChatMessage, ChatRenderOptions, ChatTemplate } from "./chat-template.js";
import { ChatTemplateError } from "./errors.js";
import type { TextTokenizer } from "./text-tokenizer.js";

export interface EncodeChatOptions extends ChatRenderOptions {
  /** Put the begin-of-sequence token first, unless the rendered text begins with it. Default: false. */
  readonly addBos?: boolean;
}

/** @throws ChatTemplateError */
export function encodeChat(
  tokenizer: TextTokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: EncodeChatOptions = {},
): number[] {
  const { addBos = false, ...renderOptions } = { now: new Date(), ...options };
  const plain = template.render(messages, renderOptions);
  const specialTexts = [...tokenizer.specialTokens.keys()];
  const marked = renderMarked(specialTexts, template, messages, renderOptions);
  let tokenIds = tokenizer.encode(marked.text, { parseSpecial: true, userText: marked.userText });
  if (plain !== marked.text && !containsAny([messages, renderOptions.tools], specialTexts)) {
    const special = new Set(tokenizer.specialTokens.values());
    const plainIds = tokenizer.encode(plain, { parseSpecial: true });
    if (equalSequences(plainIds.filter(isIn(special)), tokenIds.filter(isIn(special)))) tokenIds = plainIds;
  }
  if (addBos && tokenizer.bosTokenId !== undefined && tokenIds[0] !== tokenizer.bosTokenId) tokenIds.unshift(tokenizer.bosTokenId);
  return tokenIds;
}

const isIn = (ids: ReadonlySet<number>) => (id: number) => ids.has(id);
const equalSequences = (a: readonly number[], b: readonly number[]) => a.length === b.length && a.every((id, index) => id === b[index]);

interface MarkedText {
  readonly text: string;
  /** 1 for code units that a message holds and that may be part of a control token. */
  readonly userText: Uint8Array;
}

function renderMarked(
  specialTexts: readonly string[],
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: ChatRenderOptions,
): MarkedText {
  const standIns = chooseStandIns(specialTexts, [template.source, messages, options.tools]);
  const mark = (text: string) => text.replaceAll(/[\s\S]/g, (unit) => standIns.get(unit) ?? unit);
  const rendered = template.render(mapStrings(messages, mark) as readonly ChatMessage[], {
    ...options,
    ...(options.tools && { tools: mapStrings(options.tools, mark) as readonly unknown[] }),
  });
  const originals = new Map([...standIns].map(([original, standIn]) => [standIn, original]));
  const userText = new Uint8Array(rendered.length);
  for (let index = 0; index < rendered.length; index++) if (originals.has(rendered[index]!)) userText[index] = 1;
  return { text: rendered.replaceAll(/[\ue000-\uf8ff]/g, (unit) => originals.get(unit) ?? unit), userText };
}

/** One private use character for each code unit of the special texts, white space left out: templates trim it. */
function chooseStandIns(specialTexts: readonly string[], inputs: readonly unknown[]): Map<string, string> {
  const used = new Set<string>();
  for (const text of stringsIn([inputs, specialTexts])) for (const unit of text.match(/[\ue000-\uf8ff]/g) ?? []) used.add(unit);
  const standIns = new Map<string, string>();
  let codeUnit = 0xe000;
  for (const unit of new Set(specialTexts.join("").replaceAll(/\s/g, "").split(""))) {
    while (codeUnit <= 0xf8ff && used.has(String.fromCharCode(codeUnit))) codeUnit++;
    if (codeUnit > 0xf8ff) throw new ChatTemplateError("refused", "the messages use up the characters of the private use area");
    standIns.set(unit, String.fromCharCode(codeUnit++));
  }
  return standIns;
}

const plainWord = /^[A-Za-z][A-Za-z0-9_$.-]*$/;

/** A copy of a JSON value with every string mapped, but for plain words that are keys or the values of `role` and `type`. */
function mapStrings(value: unknown, map: (text: string) => string, key?: string): unknown {
  if (typeof value === "string") return (key === "role" || key === "type") && plainWord.test(value) ? value : map(value);
  if (Array.isArray(value)) return value.map((element) => mapStrings(element, map));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, element]) => [plainWord.test(name) ? name : map(name), mapStrings(element, map, name)]),
  );
}

/** Every string in a JSON value, keys included. */
function* stringsIn(value: unknown): Generator<string> {
  if (typeof value === "string") yield value;
  else if (typeof value === "object" && value !== null) {
    for (const [name, element] of Object.entries(value)) {
      yield name;
      yield* stringsIn(element);
    }
  }
}

function containsAny(value: unknown, texts: readonly string[]): boolean {
  for (const text of stringsIn(value)) if (texts.some((special) => special !== "" && text.includes(special))) return true;
  return false;
}

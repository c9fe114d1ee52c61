/** A model's chat template (Jinja), which turns messages into the text that the model was trained on. */
import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { ChatTemplateError } from "./errors.js";
import { formatTime } from "./format-time.js";

export interface ChatMessage {
  /** "system", "user", "assistant", "tool", … as the template knows them. */
  readonly role: string;
  /** Text, or parts in the form that the template takes. */
  readonly content?: string | null | readonly unknown[];
  /** Whatever else the template reads: `tool_calls`, `name`, `reasoning_content`, … */
  readonly [field: string]: unknown;
}

export interface ChatRenderOptions {
  /** End with the opening of an assistant turn. Default: true. */
  readonly addGenerationPrompt?: boolean;
  /** Tool definitions in the form that the template takes; OpenAI's as a rule. */
  readonly tools?: readonly unknown[];
  /** Further variables of the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** What `strftime_now` tells, in local time. Default: the current time. */
  readonly now?: Date;
}

export interface ChatTemplate {
  /** The template's own text. */
  readonly source: string;
  /** @throws ChatTemplateError */
  render(messages: readonly ChatMessage[], options?: ChatRenderOptions): string;
}

export interface ChatTemplateTokens {
  /** Text of the begin-of-sequence token, as the template's `bos_token`. */
  readonly bosToken?: string;
  readonly eosToken?: string;
}

/** Thrown through the interpreter by `raise_exception`, to tell a template's refusal from its failure. */
class TemplateRefusal extends Error {}

/**
 * Templates run with `messages`, `add_generation_prompt`, `tools` (none where absent), `bos_token`, `eos_token`, `raise_exception`
 * and `strftime_now`. A template is a program of the model file: nothing bounds how long it runs.
 *
 * @throws ChatTemplateError (stage "parse")
 */
export function createChatTemplate(source: string, { bosToken = "", eosToken = "" }: ChatTemplateTokens = {}): ChatTemplate {
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    throw new ChatTemplateError("parse", `does not parse: ${problemOf(error)}`, { cause: error });
  }
  return {
    source,
    render(messages, { addGenerationPrompt = true, tools, variables, now = new Date() } = {}) {
      try {
        const scope = createScope(now, {
          ...variables,
          messages,
          tools: tools ?? null,
          add_generation_prompt: addGenerationPrompt,
          bos_token: bosToken,
          eos_token: eosToken,
        });
        return String(new Interpreter(scope).run(template.parsed).value);
      } catch (error) {
        if (error instanceof TemplateRefusal) throw new ChatTemplateError("refused", error.message, { cause: error });
        throw new ChatTemplateError("render", `cannot be rendered: ${problemOf(error)}`, { cause: error });
      }
    },
  };
}

/** The variables over Jinja's globals. `Template.render` would refuse a variable that has a global's name. */
function createScope(now: Date, variables: Readonly<Record<string, unknown>>): Environment {
  const globals = new Environment();
  const values = { true: true, True: true, false: false, False: false, none: null, None: null };
  for (const [name, value] of Object.entries(values)) globals.set(name, value);
  globals.set("range", range);
  globals.set("strftime_now", (format: string) => formatTime(now, format));
  globals.set("raise_exception", (reason: unknown) => {
    throw new TemplateRefusal(String(reason));
  });
  const scope = new Environment(globals);
  for (const [name, value] of Object.entries(variables)) scope.set(name, value);
  return scope;
}

const maxRangeLength = 1_000_000;

/** Python's `range`, as an array. */
function range(start: number, stop?: number, step = 1): number[] {
  const [first, last] = stop === undefined ? [0, start] : [start, stop];
  const length = Math.max(0, Math.ceil((last - first) / step));
  if (!(length <= maxRangeLength)) throw new RangeError(`range() of ${length} elements`);
  return Array.from({ length }, (_, index) => first + index * step);
}

const problemOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

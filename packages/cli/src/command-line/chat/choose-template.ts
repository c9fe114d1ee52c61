import { type ChatTemplate, createChatTemplate } from "@thermocline/core/tokenizer";
import { type FileAccessError, InvalidRequestError, type ModelSource } from "@thermocline/spec";
import { readTextFile } from "../../read-text-file.js";
import { builtInTemplates } from "./built-in-templates.js";

export interface ChosenTemplate {
  readonly template: ChatTemplate;
  /** Texts that end an answer beside the vocabulary's tokens. */
  readonly stop: readonly string[];
}

const names = Object.keys(builtInTemplates).join(", ");

/**
 * The template that was named (a built-in one, else a file), else the model's own.
 * @throws InvalidRequestError where there is none; ChatTemplateError where it does not parse.
 */
export async function chooseTemplate(
  { chatTemplate, vocabulary }: Pick<ModelSource, "chatTemplate" | "vocabulary">,
  named: string | undefined,
): Promise<ChosenTemplate> {
  const textOf = (id: number | undefined) => (id === undefined ? undefined : vocabulary?.tokens[id]);
  const bosToken = textOf(vocabulary?.special.bos);
  const eosToken = textOf(vocabulary?.special.eos);
  const tokens = { ...(bosToken !== undefined && { bosToken }), ...(eosToken !== undefined && { eosToken }) };
  const builtIn = named !== undefined && Object.hasOwn(builtInTemplates, named) ? builtInTemplates[named] : undefined;
  if (builtIn !== undefined) return { template: createChatTemplate(builtIn.source, tokens), stop: builtIn.stop };
  const source = named === undefined ? chatTemplate : await readTemplate(named);
  if (source === undefined)
    throw new InvalidRequestError(
      "--template",
      undefined,
      "the model's file holds no chat template",
      `name the format that the model was trained on (${names}, or a Jinja file); plain suits a model that was never taught to chat`,
    );
  return { template: createChatTemplate(source, tokens), stop: [] };
}

async function readTemplate(path: string): Promise<string> {
  return await readTextFile(path).catch((cause: FileAccessError) => {
    throw new InvalidRequestError(
      "--template",
      path,
      `is neither a built-in template nor a file that can be read (${cause.message.split(";")[0]})`,
      `use ${names}, or a Jinja file`,
    );
  });
}

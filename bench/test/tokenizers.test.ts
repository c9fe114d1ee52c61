import { createTokenizer } from "@thermocline/core/tokenizer";
import { describe, expect, it } from "vitest";
import { vocabularyOf } from "../tokenizer-json.mjs";
import { createOtherTokenizer, hasTokenizerPackages, readTokenizerJson, realTokenizers } from "../tokenizer-packages.mjs";
import { tokenizerTexts } from "../tokenizer-texts.mjs";

const isThere = hasTokenizerPackages();
if (!isThere) console.warn("tokenizers of real models: skipped, run `node bench/tokenizer-packages.mjs` first");

describe.each(realTokenizers)("the tokenizer of $name", (family) => {
  it.runIf(isThere)("gives the ids of an independent implementation, and the texts back", async () => {
    const json = await readTokenizerJson(family.name);
    const tokenizer = createTokenizer(vocabularyOf(json, family));
    const other = await createOtherTokenizer(json);
    for (const written of tokenizerTexts()) {
      // Some of the files ask for composed text; GGUF files and llama.cpp know nothing of that.
      const text = written.normalize("NFC");
      const tokenIds = tokenizer.encode(text, { parseSpecial: true });
      expect(tokenIds, JSON.stringify(text)).toEqual(other.encode(text, { add_special_tokens: false }).ids);
      expect(tokenizer.decode(tokenIds, { renderSpecial: true })).toBe(text);
    }
  });
});

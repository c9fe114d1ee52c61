export {
  type ChatMessage,
  type ChatRenderOptions,
  type ChatTemplate,
  type ChatTemplateTokens,
  createChatTemplate,
} from "./chat-template.js";
export { type EncodeChatOptions, encodeChat } from "./encode-chat.js";
export { ChatTemplateError, InvalidVocabularyError, UnsupportedTokenizerError } from "./errors.js";
export { supportedPreTokenizers } from "./pre-tokenizers.js";
export { createTokenizer, type TextEncodeOptions, type TextTokenizer } from "./text-tokenizer.js";

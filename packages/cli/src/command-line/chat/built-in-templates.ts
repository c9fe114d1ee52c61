/** Formats of widespread models, for files that carry no chat template. */

export interface BuiltInTemplate {
  /** Jinja. */
  readonly source: string;
  /** Texts that end a turn where the vocabulary has no token for them. */
  readonly stop: readonly string[];
}

/** Jinja for a format whose turns are alike: `turn` is an expression over `role` and `content`. */
const uniform = (turn: string, opening: string, beginning = "''") =>
  `{{ ${beginning} }}{% for message in messages %}{% set role = message.role %}{% set content = message.content | trim %}` +
  `{{ ${turn} }}{% endfor %}{% if add_generation_prompt %}{{ ${opening} }}{% endif %}`;

/** The same for formats without a system turn: its text goes before the user's first. */
const withoutSystem = (turn: string, opening: string, beginning = "''") =>
  `{{ ${beginning} }}{% set pending = namespace(text='') %}{% for message in messages %}{% set role = message.role %}` +
  `{% if role == 'system' %}{% set pending.text = (message.content | trim) + '\\n\\n' %}{% else %}` +
  `{% set content = message.content | trim %}{% if role == 'user' %}{% set content = pending.text + content %}{% set pending.text = '' %}{% endif %}` +
  `{{ ${turn} }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ ${opening} }}{% endif %}`;

export const builtInTemplates: Readonly<Record<string, BuiltInTemplate>> = {
  chatml: {
    source: uniform("'<|im_start|>' + role + '\\n' + content + '<|im_end|>\\n'", "'<|im_start|>assistant\\n'"),
    stop: ["<|im_end|>"],
  },
  gemma: {
    source: withoutSystem(
      "'<start_of_turn>' + ('model' if role == 'assistant' else role) + '\\n' + content + '<end_of_turn>\\n'",
      "'<start_of_turn>model\\n'",
      "bos_token",
    ),
    stop: ["<end_of_turn>"],
  },
  llama3: {
    source: uniform(
      "'<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' + content + '<|eot_id|>'",
      "'<|start_header_id|>assistant<|end_header_id|>\\n\\n'",
      "bos_token",
    ),
    stop: ["<|eot_id|>"],
  },
  mistral: {
    source: withoutSystem("(' ' + content + eos_token) if role == 'assistant' else ('[INST] ' + content + ' [/INST]')", "''", "bos_token"),
    stop: [],
  },
  phi3: {
    source: uniform("'<|' + role + '|>\\n' + content + '<|end|>\\n'", "'<|assistant|>\\n'"),
    stop: ["<|end|>"],
  },
  plain: {
    source: uniform("(role | capitalize) + ': ' + content + '\\n'", "'Assistant:'"),
    stop: ["\nUser:", "\nSystem:"],
  },
  zephyr: {
    source: uniform("'<|' + role + '|>\\n' + content + eos_token + '\\n'", "'<|assistant|>\\n'"),
    stop: [],
  },
};

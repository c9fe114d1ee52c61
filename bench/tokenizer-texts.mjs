/** Texts on which tokenizers differ when they differ anywhere. */

const written = [
  "",
  " ",
  "\n",
  "\r\n\r\n",
  " \n \n\n  x",
  "\t\tif (x) {\n\t\t\treturn  y;\n\t\t}\n",
  "Hello, world!",
  "  leading and trailing  ",
  "I'm we'll they'VE DON'T it'S O'Reilly 'tis rock'n'roll",
  "l’été d’aujourd’hui",
  "camelCase XMLHttpRequest snake_case SCREAMING_CASE Title Case iPhone McDONALD",
  "1 12 123 1234 12345 123456 1234567 3.14159 1,234,567.89 0x1F 1e-9 ٣٤٥٦ ५६७ Ⅷ ½ ²³ 10²",
  "a1b2 12a 1234abc v1.2.3-rc4 2024-01-31T23:59:59Z",
  "https://example.org/a/b?c=d&e=%20f#g user@example.com C:\\path\\to\\file.txt",
  "!!! ... --- ??? *** /// //// /* comment */ // line\n# heading\n\n- item\n",
  "(a[b]{c}<d>) \"quoted\" 'single' `code` ~tilde~ ^hat^ |pipe| $5 +1 =2",
  "世界你好，今天天气很好。1234年5月6日",
  "日本語のテキスト、カタカナ・ひらがな。",
  "한국어 텍스트입니다. 안녕하세요",
  "Привет, мир! Ёлка ИВАН",
  "Γειά σου Κόσμε ΟΔΥΣΣΕΥΣ",
  "مرحبا بالعالم، ١٢٣؟",
  "שלום עולם נִקּוּד",
  "नमस्ते दुनिया क्षत्रिय",
  "สวัสดีชาวโลก ภาษาไทย",
  "ខ្មែរ កាន់តែពិសេស",
  "Việt Nam tiếng Việt",
  "café naïve Zürich Ångström",
  "cafe\u0301 nai\u0308ve Å",
  "🙂 👍🏽 👨‍👩‍👧‍👦 🇩🇪 ❤️ ™ © ① ㊗",
  "𝕳𝖊𝖑𝖑𝖔 ﬁ ﬀ Ａｂｃ１２３",
  "\u00a0nbsp\u2003em\u3000ideographic\u200bzero\u200dwidth\u2028line\u0085next",
  "a  b   c    d     e      f       g        h",
  `${"    ".repeat(20)}x`,
  "\n\n\n\n\n\n\n\n",
  "\u0000\u0001\u001f\u007f",
  "function f(a, b) {\n  return a * b; // product\n}\n",
  "def f(x):\n    return [i**2 for i in range(x) if i % 2 == 0]\n",
  "SELECT * FROM t WHERE a >= 10 AND b <> 'x';",
  '<div class="a">&nbsp;</div>',
  "…—–‘’“”«»¿¡·•",
  "ＡＢＣ　ｄｅｆ，。！",
  "Ǆ ǅ ǆ ŉ İ ı ß ẞ ſ",
  "A\u030a o\u0327 \u0301lone",
  "الْعَرَبِيَّةُ",
  "x=y;z==w!=v->u=>t::s",
  "100% of $1.50 is €1,38 / £1.20",
  "#hashtag @mention :emoji:",
  "tab\there\nnew\rreturn\r\nboth",
  "ᚠᛇᚻ ᏣᎳᎩ ꙮ 𒀀 𐍈",
];

const pieces = [
  "the", "The", "THE", "'s", "'LL", "’s", " ", "  ", "   ", "\n", "\r\n", "\t", "1", "42", "123", "4567", ".", ",", "!?", "--", "/", "//", "_",
  "é", "e\u0301", "ß", "世", "界人", "か", "カナ", "한", "П", "пр", "ع", "ِ", "ก", "ि", "🙂", "\u200d", "\ufe0f", "\u00a0", "\u3000", "Ⅷ", "²", "ǅ", "ʰ",
  "(", ")", "[", "{", "\"", "`", "$", "+", "<", "|", "~", "x", "Y", "ing", "#", "@", "\\",
]; // biome-ignore format: one list

/** The same texts each time: those above, then random joins of the pieces. */
export function tokenizerTexts(numRandom = 400) {
  let state = 12345;
  const below = (/** @type {number} */ limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const random = Array.from({ length: numRandom }, () =>
    Array.from({ length: 1 + below(12) }, () => pieces[below(pieces.length)]).join(""),
  );
  return [...written, ...random];
}

// What is wrong in the theme's scripts and in the tests of pages; how they are laid out is left to their authors. See `lint`.
import js from "@eslint/js";
import globals from "globals";

const FAULTS = {
  ...js.configs.recommended.rules,
  "array-callback-return": "error",
  "consistent-this": "error",
  eqeqeq: "error",
  "no-constructor-return": "error",
  "no-duplicate-imports": "error",
  "no-eval": "error",
  "no-control-regex": "off", // texts with any character are the matter here
  "no-implicit-globals": "error",
  "no-implied-eval": "error",
  "no-misleading-character-class": ["error", { allowEscape: true }],
  "no-self-compare": "error",
  "no-template-curly-in-string": "error",
  "no-throw-literal": "error",
  "no-unmodified-loop-condition": "error",
  "no-unreachable-loop": "error",
  "no-unused-expressions": "error",
  "no-unused-vars": ["error", { ignoreRestSiblings: true, argsIgnorePattern: "^_", destructuredArrayIgnorePattern: "^_" }],
  "no-use-before-define": ["error", { functions: false, variables: false }],
  "no-var": "error",
  "prefer-const": "error",
  "prefer-promise-reject-errors": "error",
  radix: "error",
};

/** Things of the theme that have one home: what spells or does them elsewhere, and where it belongs. */
const only = (home, rules) => ({ files: ["theme/assets/**/*.js"], ignores: home, rules });
const address = (selector) => ({ selector, message: "base/address.js makes addresses" });

export default [
  { ignores: ["**/node_modules/**"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  { files: ["theme/**/*.js"], languageOptions: { globals: globals.browser }, rules: { ...FAULTS, "no-shadow": ["error", { ignoreOnInitialization: true }] } },
  { files: ["theme/assets/base/early.js"], languageOptions: { sourceType: "script" } },
  // what runs in the page stands in the tests as well: it has globals of its own, and its arguments the names of what is handed in
  { files: ["tests/browser/**/*.js"], languageOptions: { globals: { ...globals.node, ...globals.browser } }, rules: FAULTS },
  only(["theme/assets/base/address.js"], {
    "no-restricted-syntax": ["error", ...["TemplateElement[value.raw=/\\.(html|json)/]", "Literal[value=/\\.(html|json)/]"].map(address)],
  }),
  only(["theme/assets/base/loading.js"], { "no-restricted-globals": ["error", { name: "fetch", message: "base/loading.js loads" }] }),
  only(["theme/assets/base/settings.js", "theme/assets/base/early.js"], {
    "no-restricted-properties": ["error", ...["localStorage"].map((object) => ({ object, message: "base/settings.js keeps choices" }))],
  }),
];

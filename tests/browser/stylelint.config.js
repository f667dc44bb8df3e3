// What is wrong in the theme's styles; how they are laid out is left to their authors. See `lint`.
const RULES = [
  "annotation-no-unknown", "at-rule-no-unknown", "block-no-empty", "color-no-invalid-hex", "custom-property-no-missing-var-function",
  "declaration-block-no-duplicate-custom-properties", "declaration-block-no-duplicate-properties", "declaration-block-no-shorthand-property-overrides",
  "font-family-no-duplicate-names", "font-family-no-missing-generic-family-keyword", "function-calc-no-unspaced-operator", "function-no-unknown",
  "keyframe-block-no-duplicate-selectors", "keyframe-declaration-no-important", "media-feature-name-no-unknown", "media-query-no-invalid",
  "named-grid-areas-no-invalid", "no-duplicate-at-import-rules", "no-duplicate-selectors", "no-invalid-double-slash-comments",
  "no-invalid-position-at-import-rule", "no-invalid-position-declaration", "property-no-unknown", "selector-anb-no-unmatchable",
  "selector-pseudo-class-no-unknown", "selector-pseudo-element-no-unknown", "selector-type-no-unknown", "string-no-newline", "syntax-string-no-invalid",
  "unit-no-unknown",
];

export default { rules: Object.fromEntries(RULES.map((rule) => [rule, true])), reportNeedlessDisables: true, reportInvalidScopeDisables: true };

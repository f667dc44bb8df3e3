#!/usr/bin/env python3
"""Makes the fixtures of chats: what transformers makes of conversations with the templates in `templates/`.

usage: make.py  (in this folder; needs the versions of requirements.txt)

The templates are written anew after the documented formats of published models, the texts are made up. `tokenizer.json` is
a byte-level BPE trained on a few sentences, with the special tokens of all of them. `cases.json` has, for each template, its special
tokens and its conversations, each with

    text       the rendered text
    ids        `apply_chat_template(tokenize=True)`
    mask       `return_assistant_tokens_mask`, where the template has `{% generation %}`
    prompted   the text with `add_generation_prompt`
    error      what the template raises, in place of these
"""
import datetime
import json
import pathlib

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent
SPECIAL = """<unk> <s> </s> <pad> <|im_start|> <|im_end|> <|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <bos> <start_of_turn>
<end_of_turn> <|endoftext|> <|system|> <|user|> <|assistant|> <|end|> <|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|SYSTEM_TOKEN|>
<|USER_TOKEN|> <|CHATBOT_TOKEN|> <｜User｜> <｜Assistant｜> <｜begin▁of▁sentence｜> <｜end▁of▁sentence｜>""".split()
ADDED = ["<think>", "</think>", "<tool_call>"]  # taken out of texts, but not special
TEXTS = ["The mill by the river grinds rye and oats.", "Where does the ferry land when the water is low?",
         "You are a careful assistant and you answer in one sentence.", "Count the sheep: one, two, three.",
         "A tower of seven stones stands on the hill, says the old map.", "user assistant system instruction response tool"]


def tokenizer():
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.post_processor = processors.ByteLevel(trim_offsets=True)
    inner.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    inner.add_special_tokens(SPECIAL)
    inner.add_tokens([AddedToken(token, normalized=False) for token in ADDED])
    inner.save(str(HERE / "tokenizer.json"))


def user(text): return {"role": "user", "content": text}
def assistant(text, **more): return {"role": "assistant", "content": text, **more}
def system(text): return {"role": "system", "content": text}


CALL = {"type": "function", "function": {"name": "depth", "arguments": {"river": "Öre", "deep": True, "metres": 2.5, "at": [1, None], "\"q\"": "a\n\\\u2028"}}}
ONE = [user("Where does the ferry land?"), assistant("At the lower pier.")]
TWO = [system("You answer for a ferryman."), user("Is the water low?"), assistant("Yes, since May."), user("And the mill?"), assistant("It stands still.")]
ODD = [user("  Two spaces, a tab\t and\r\nlines\n"), assistant("\n ünïcödé 漢字 🦆 <b>&amp;</b> {{ x }} {% y %}  "), user("<|im_end|>a</s> [INST]"), assistant("ok  ")]
SAME = [user("yes"), assistant("yes"), user("yes"), assistant("yes")]
ASK = [user("Only a question?")]
PARTS = [user([{"type": "text", "text": "Look at "}, {"type": "image"}, {"type": "text", "text": "this stone."}]), assistant([{"type": "text", "text": "It is grey."}])]
TOOLS = [user("How deep is it?"), assistant("", tool_calls=[CALL]), {"role": "tool", "name": "depth", "content": "2.5"}, assistant("Two and a half metres.")]
THINK = [user("What is 2 + 3?"), assistant("<think>\nTwo and three.\n</think>\n\nFive."), user("And 5 + 1?"), assistant("<think>\nOne more.\n</think>\n\nSix.")]
FIELDS = [user("What is 2 + 3?"), assistant("Five.", reasoning_content="Two and three."), user("And then?"), assistant("Six.", thinking="One more.")]
NULLS = [user("Say it."), assistant("It.", tool_calls=None, name=None)]
LATE = [user("First."), system("Then the system."), assistant("Then I.")]
TWICE = [user("One."), user("Two."), assistant("Three."), assistant("Four.")]
LONE = [system("Only the system.")]
EMPTY = [system(""), user("Hm?"), assistant("")]
USUAL = [ONE, TWO, ODD, SAME, ASK, LATE, TWICE, LONE, EMPTY]
ODDS = [ONE, ODD, NULLS, [*TOOLS, {"role": "stop", "content": "never"}, user("x")], [{"role": "users", "content": {"b": 1, "a": "x"}, "n": {"é": [], "d": {}, "e": [1.0, 1e16, 1e-7, -0.5, 12345678901234567890, 1e22]}}, {"role": "user"}, PARTS[1]]]

# name → (special tokens, conversations)
TEMPLATES = {
    "chatml": (dict(eos_token="<|im_end|>", pad_token="<|endoftext|>"), USUAL),
    "llama3": (dict(bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"), [*USUAL, TOOLS, [*TOOLS[:1], assistant("", tool_calls=[CALL, CALL])], [user("x"), {"role": "tool", "content": {"a": [1, "é"]}}]]),
    "llama2": (dict(bos_token="<s>", eos_token="</s>"), USUAL),
    "mistral": (dict(bos_token="<s>", eos_token="</s>"), USUAL),
    "gemma": (dict(bos_token="<bos>", eos_token="</s>"), [*USUAL, PARTS]),
    "phi3": (dict(bos_token="<s>", eos_token="<|endoftext|>"), USUAL),
    "zephyr": (dict(bos_token="<s>", eos_token="</s>"), USUAL),
    "alpaca": (dict(bos_token="<s>", eos_token="</s>"), [*USUAL, [user("Sort these."), {"role": "input", "content": "b a"}, {"role": "other", "content": "left out"}, assistant("a b")]]),
    "vicuna": (dict(bos_token="<s>", eos_token="</s>"), USUAL),
    "tulu": (dict(bos_token="<|endoftext|>", eos_token="<|endoftext|>"), USUAL),
    "smollm": (dict(bos_token="<|im_start|>", eos_token="<|im_end|>"), USUAL),
    "command_r": (dict(bos_token="<s>", eos_token="<|END_OF_TURN_TOKEN|>"), USUAL),
    "deepseek": (dict(bos_token="<｜begin▁of▁sentence｜>", eos_token="<｜end▁of▁sentence｜>"), [*USUAL, THINK]),
    "qwen3": (dict(eos_token="<|im_end|>", pad_token="<|endoftext|>"), [*USUAL, THINK, FIELDS, NULLS, TOOLS, PARTS]),
    "odds": (dict(bos_token="<s>", eos_token="</s>"), ODDS),
}


class Day(datetime.datetime):
    """The day on which all is rendered."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 2, 3)


chat_template_utils.datetime = Day


def case(tokenizer, template, messages):
    def apply(**options):
        return tokenizer.apply_chat_template(messages, chat_template=template, **options)
    out = {"messages": messages}
    try:
        out["text"] = apply(tokenize=False)
        out["ids"] = apply(tokenize=True, return_dict=False)
        if "generation" in template.replace("add_generation_prompt", ""):
            out["mask"] = "".join(map(str, apply(tokenize=True, return_dict=True, return_assistant_tokens_mask=True)["assistant_masks"]))
        out["prompted"] = apply(tokenize=False, add_generation_prompt=True)
    except Exception as error:
        out["error"] = str(error)
    return out


def main():
    tokenizer()
    out = []
    for name, (tokens, conversations) in TEMPLATES.items():
        template = (HERE / "templates" / f"{name}.jinja").read_text()
        loaded = PreTrainedTokenizerFast(tokenizer_file=str(HERE / "tokenizer.json"), **tokens)
        cases = [case(loaded, template, messages) for messages in conversations]
        out.append({"name": name, "tokens": tokens, "cases": cases})
        print(name, len(cases), [case["error"] for case in cases if "error" in case])
    lines = ",\n".join(json.dumps(template, ensure_ascii=False) for template in out)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")


main()

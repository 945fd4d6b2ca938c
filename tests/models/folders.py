"""Folders as transformers saves them, of small models with chance weights and small tokenizers."""

import json
import warnings

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

WIDTH, LAYERS, HEADS, HIDDEN, PLACES = 16, 2, 2, 24, 40
ROLES = {
    "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "roberta": {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"},
    "gpt2": {"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<|endoftext|>"},
    "llama": {"unk": "<unk>", "bos": "<s>", "eos": "</s>"},
}
ROLES["distilbert"] = ROLES["bert"]
ROLES["roberta"] |= {"cls": "<s>", "sep": "</s>"}
FAMILIES = ("bert", "roberta", "distilbert", "gpt2", "llama")


def tokenizer_of(family, words):
    """A tokenizer of the family's kind, learned from a few words."""
    special = list(dict.fromkeys(ROLES[family].values()))
    if family in ("bert", "distilbert"):
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    elif family == "llama":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        letters = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=340, special_tokens=special, initial_alphabet=letters, show_progress=False
        )
    tokenizer.train_from_iterator([" ".join(words)] * 4, trainer)
    both = "[CLS] $A [SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", ["[CLS]", "[SEP]"]
    around = {"bert": both, "distilbert": both, "llama": ("<s> $A", None, ["<s>"])}
    if family in around:
        single, pair, names = around[family]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=[(name, tokenizer.token_to_id(name)) for name in names]
        )
    if family == "roberta":
        # the space before a mask belongs to it, since pieces hold the space before them
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
        ids = [(name, tokenizer.token_to_id(name)) for name in ("</s>", "<s>")]
        tokenizer.post_processor = processors.RobertaProcessing(*ids)
    return tokenizer


def settings_of(family, tokenizer):
    """transformers' settings of a small model; there are more rows than tokens, as often."""
    import transformers

    rows = tokenizer.get_vocab_size() + 3
    wide = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    match family:
        case "bert":
            return transformers.BertConfig(
                vocab_size=rows, **wide, intermediate_size=HIDDEN, max_position_embeddings=PLACES
            )
        case "roberta":
            return transformers.RobertaConfig(
                vocab_size=rows, **wide, intermediate_size=HIDDEN, max_position_embeddings=PLACES + 2, pad_token_id=1
            )
        case "distilbert":
            return transformers.DistilBertConfig(
                vocab_size=rows, dim=WIDTH, n_layers=LAYERS, n_heads=HEADS, hidden_dim=HIDDEN,
                max_position_embeddings=PLACES,
            )  # fmt: skip
        case "gpt2":
            return transformers.GPT2Config(
                vocab_size=rows, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_positions=PLACES,
                bos_token_id=0, eos_token_id=0,
            )  # fmt: skip
        case _:
            return transformers.LlamaConfig(
                vocab_size=rows, **wide, intermediate_size=HIDDEN, max_position_embeddings=PLACES,
                num_key_value_heads=1, bos_token_id=1, eos_token_id=2,
            )  # fmt: skip


def write_folder(folder, family, words):
    """A model without a last layer, as those that others fine-tune."""
    import torch
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = tokenizer_of(family, words)
        torch.manual_seed(7)
        model = transformers.AutoModel.from_config(settings_of(family, tokenizer))
        model.save_pretrained(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {f"{role}_token": name for role, name in ROLES[family].items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(described | {"model_max_length": PLACES}))
    return folder

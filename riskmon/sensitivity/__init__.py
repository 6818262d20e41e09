"""`riskmon sensitivity`: how far a prompt's risk moves under rewordings that keep its meaning.

    prompts -> rewordings (variants, case, spacing, typos, politeness, paraphrase)
            -> estimates of every wording (families)
            -> spread and worst amplification (spread, amplification, summary)
            -> table and JSON lines (run, table), or the store (job)

One published prompt moved from 5e-12 to 1.5e-3 under 25 harmless paraphrases (arXiv 2604.22167): the risk of a prompt
is a distribution over its wordings, and the wording in the log is one draw from it.

What "keeps its meaning" can promise is limited: case and spacing change no word; typos leave short words, first letters
and everything with a digit alone but may by chance spell another word; paraphrases are as good as the model that writes
them, and are only checked for form, length and the numbers, URLs and code they must carry on.
"""

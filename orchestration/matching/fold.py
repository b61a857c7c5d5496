"""How text is folded before it is compared, as DuckDB macros.

Two spellings of one name should become one text: capitals, marks, full-width forms, letters
that Arabic and Persian keyboards type differently, vowel signs, joiners. The fold is made once
per person, by DuckDB on either engine, so that both compare the same letters.
"""

import unicodedata

# Longer values are cut: nobody's name needs more, and a pasted page must not cost anything.
LONGEST_TEXT = 400
LONGEST_NAME = 80

_WIDE = [chr(code) for code in range(0xFF01, 0xFF5F)]
_SHAPED = [
    chr(code)
    for first, last in ((0xFB50, 0xFDFF), (0xFE70, 0xFEFC))
    for code in range(first, last + 1)
    if len(unicodedata.normalize("NFKC", chr(code))) == 1
    and unicodedata.normalize("NFKC", chr(code)) != chr(code)
]
_ARABIC = {"يىئ": "ی", "كڪ": "ک", "ةۀەۂہھ": "ه", "ؤ": "و", "أإآٱ": "ا"}
_DIGITS = {"۰۱۲۳۴۵۶۷۸۹": "0123456789", "٠١٢٣٤٥٦٧٨٩": "0123456789"}
_LATIN = {"đ": "d", "ð": "d", "ø": "o", "ł": "l", "ı": "i", "ħ": "h", "ŧ": "t"}
# Family names and frequent given names that Taiwan and the mainland write differently.
_HAN = (
    "陳陈張张劉刘黃黄吳吴趙赵孫孙馬马鄭郑馮冯楊杨許许蘇苏盧卢蔣蒋賈贾葉叶閻阎鍾钟譚谭陸陆範范鄒邹龍龙"
    "萬万賴赖龔龚錢钱湯汤喬乔顧顾嚴严蕭萧謝谢韓韩鄧邓羅罗莊庄簡简呂吕齊齐溫温羅罗嚴严關关藍蓝國国偉伟"
    "麗丽華华強强軍军傑杰靜静蘭兰鳳凤紅红雲云東东夢梦寶宝曉晓賢贤聰聪銘铭鈞钧瑋玮瑤瑶瑩莹蓮莲穎颖雙双"
)
# Seen by nobody: joiners, direction marks, tatweel, vowel signs of Arabic script, lone hamza.
_UNSEEN = (
    r"[\x{00ad}\x{034f}\x{0610}-\x{061c}\x{0621}\x{0640}\x{064b}-\x{065f}\x{0670}"
    r"\x{06d6}-\x{06dc}\x{06df}-\x{06e8}\x{06ea}-\x{06ed}\x{200b}-\x{200f}\x{202a}-\x{202e}"
    r"\x{2060}-\x{2069}\x{fe00}-\x{fe0f}\x{feff}]+"
)
# Scripts whose marks are letters, not ornaments: dropping them would make other names.
_MARKS_MATTER = r"[\x{0400}-\x{052f}\x{0700}-\x{1dff}\x{3040}-\x{30ff}\x{a000}-\x{abff}]"


def _table(pairs: dict[str, str]) -> tuple[str, str]:
    """Two texts for `translate`, letter under letter."""
    old, new = "", ""
    for letters, spelled in pairs.items():
        old += letters
        new += spelled if len(spelled) == len(letters) else spelled * len(letters)
    return old, new


def _translate(expression: str, pairs: dict[str, str]) -> str:
    old, new = _table(pairs)
    return f"translate({expression}, '{old}', '{new}')"


def _shaped(expression: str) -> str:
    """Full-width and presentation forms as the letters they stand for."""
    forms = {letter: unicodedata.normalize("NFKC", letter) for letter in (*_WIDE, *_SHAPED)}
    old = "".join(forms).replace("'", "''")
    new = "".join(forms.values()).replace("'", "''")
    joined = rf"regexp_replace({expression}, '[\x{{fef5}}-\x{{fefc}}]', 'لا', 'g')"
    return f"replace(translate({joined}, '{old}', '{new}'), '\u3000', ' ')"


def macros() -> list[str]:
    """The statements that make the macros; each takes and gives text, and null for nothing."""
    han = dict(zip(_HAN[0::2], _HAN[1::2], strict=True))
    plain = "strip_accents(t)"
    for letters, spelled in (("ß", "ss"), ("æ", "ae"), ("œ", "oe"), ("þ", "th")):
        plain = f"replace({plain}, '{letters}', '{spelled}')"
    return [
        f"""
        create macro unshaped(t) as
        case when regexp_matches(t, '[\\x{{3000}}\\x{{fb50}}-\\x{{fdff}}\\x{{fe70}}-\\x{{ff5e}}]')
            then {_shaped("t")} else t end
        """,
        # One spelling, with the marks of Latin letters.
        f"""
        create macro spelled(t) as
        case
            when strlen(t) = length(t) then lower(left(t, {LONGEST_TEXT}))
            else {
            _translate(
                f"regexp_replace(lower(unshaped(nfc_normalize("
                f"left(t, {LONGEST_TEXT})))), '{_UNSEEN}', '', 'g')",
                {**_ARABIC, **_DIGITS, **han},
            )
        }
        end
        """,
        # The same without them.
        f"""
        create macro unmarked(t) as
        case
            when strlen(t) = length(t) or regexp_matches(t, '{_MARKS_MATTER}') then t
            else {_translate(_translate(plain, _LATIN), _ARABIC)}
        end
        """,
        # Words of letters and digits with single blanks; an apostrophe joins, a hyphen parts.
        r"""
        create macro words(t) as
        nullif(trim(regexp_replace(
            regexp_replace(t, '[''’‘ʼʻ`´]', '', 'g'), '[^\p{L}\p{M}\p{N}]+', ' ', 'g'
        )), '')
        """,
        "create macro letters(t) as nullif(replace(words(t), ' ', ''), '')",
        # The rotation that sorts first: given and family name may come in either order, and
        # parted anywhere, and still are one text.
        """
        create macro turned(t) as
        list_min(list_transform(range(length(t)), lambda i: substr(t, i + 1) || substr(t, 1, i)))
        """,
        # One ASCII sign a letter, so that an edit is an edit in every script: DuckDB counts
        # bytes. Two letters share a sign once in 94, which makes names similar, never same.
        """
        create macro signs(t) as
        case
            when strlen(t) = length(t) then t
            else array_to_string(list_transform(
                range(1, length(t) + 1),
                lambda i: case
                    when unicode(substr(t, i, 1)) < 128 then substr(t, i, 1)
                    else chr(cast(33 + unicode(substr(t, i, 1)) % 94 as integer))
                end
            ), '')
        end
        """,
        "create macro sorted_words(t) as array_to_string(list_sort(string_split(t, ' ')), '')",
    ]

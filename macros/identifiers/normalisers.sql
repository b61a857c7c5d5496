{# How a value is spelled, once, so that later layers may compare with `=`.
   Text is in Unicode NFC since landing. Each macro takes and gives a SQL expression. #}

{# Persian, Arabic and full-width digits as ASCII; a full-width plus as plus. #}
{% macro ascii_digits(text) -%}
translate({{ text }}, '۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩０１２３４５６７８９＋', '012345678901234567890123456789+')
{%- endmacro %}

{# Full-width Latin letters, digits and the signs of addresses and names as ASCII. #}
{% macro half_width(text) -%}
translate({{ text }}, '！＃＄％＆（）＊＋，－．／０１２３４５６７８９：；＜＝＞？＠ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺ＿ａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ　', '!#$%&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz ')
{%- endmacro %}

{# Without the marks nobody sees: tabs, line ends, zero-width signs, direction marks, byte order
   mark. #}
{% macro without_invisible(text) -%}
{%- set invisible = '\t\r\n\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u00a0' -%}
translate({{ text }}, '{{ invisible }}', '')
{%- endmacro %}

{# E-mail: half-width, without blanks at the ends or marks nobody sees, lower case. #}
{% macro normalise_email(text) -%}
nullif({{ lower_case(trimmed(half_width(without_invisible(text)))) }}, '')
{%- endmacro %}

{# Name or address: Arabic yeh and kaf as Persian ones, half-width, single blanks, without direction
   marks, which nobody types and which turn what stands behind them around. Vietnamese marks are
   kept; `fold_name` drops them for comparing. The zero-width joiner and non-joiner stay: Persian
   names and emoji are written with them. #}
{% macro normalise_name(text) -%}
{%- set marks = '\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff' -%}
nullif({{ trimmed(replace_all(half_width("translate(translate(" ~ text ~ ", '" ~ marks ~ "', ''), 'يىك', 'ییک')"), '[ \\t\\n\\f\\r]+', ' ')) }}, '')
{%- endmacro %}

{# Name for comparing: lower case, Latin marks dropped (Vietnamese and Western), and without
   marks nobody sees, the zero-width non-joiner among them. #}
{% macro fold_name(text) -%}
translate(
    {{ lower_case(without_invisible(normalise_name(text))) }},
    'àáảãạăằắẳẵặâầấẩẫậèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵđçñäëïöüåøîûÿ',
    'aaaaaaaaaaaaaaaaaeeeeeeeeeeeiiiiiooooooooooooooooouuuuuuuuuuuyyyyydcnaeiouaoiuy'
)
{%- endmacro %}

{# A product code: ASCII letters in upper case, others as they are. #}
{% macro upper_code(text) -%}
translate({{ text }}, 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ')
{%- endmacro %}

{# A code such as a gender or status: lower case. #}
{% macro normalise_code(text) -%}
nullif({{ lower_case(trimmed(text)) }}, '')
{%- endmacro %}

{# A code that people scan or type in either case, such as a stock keeping unit or a card. #}
{% macro normalise_upper_code(text) -%}
nullif({{ upper_code(trimmed(text)) }}, '')
{%- endmacro %}

{# A number that travelled as text: 17850.0 is 17850. #}
{% macro normalise_number_text(text) -%}
nullif({{ replace_all(trimmed(text), '[.]0+\\z', '') }}, '')
{%- endmacro %}

{# What was typed as a phone, reduced to digits and a leading plus; `(0)` of a number
   written for both home and abroad is dropped. #}
{% macro phone_digits(text) -%}
nullif({{ replace_all(
    replace_all(ascii_digits(text), '[(（]0[)）]', ''),
    '[^0-9+]', ''
) }}, '')
{%- endmacro %}

{# E.164 from `phone_digits` and the row of `calling_codes` of the row's country.
   What cannot be a number of that country stays digits without a plus, which the identity
   layer quarantines, so nothing is lost. Rules: ITU-T E.164 and the seed's lengths. #}
{% macro normalise_phone(digits, codes) -%}
{%- set abroad -%}
case
    when {{ digits }} like '+%' then replace({{ digits }}, '+', '')
    when {{ digits }} like '00%' then substr({{ digits }}, 3)
end
{%- endset -%}
{%- set home = "replace(" ~ digits ~ ", '+', '')" -%}
{%- set code = codes ~ '.calling_code' -%}
{%- set trunk = codes ~ '.trunk_prefix' -%}
{%- set shortest = codes ~ '.shortest_number' -%}
{%- set longest = codes ~ '.longest_number' -%}
case
    when {{ abroad }} like ({{ code }} || coalesce({{ trunk }}, '') || '%') and {{ trunk }} is not null
        and length({{ abroad }}) - length({{ code }}) - length({{ trunk }}) between {{ shortest }} and {{ longest }}
        then ('+' || {{ code }} || substr({{ abroad }}, length({{ code }}) + length({{ trunk }}) + 1))
    when {{ abroad }} like ({{ code }} || '%')
        and length({{ abroad }}) - length({{ code }}) between {{ shortest }} and {{ longest }}
        then '+' || {{ abroad }}
    when {{ abroad }} like ({{ code }} || '%') then {{ home }}
    when length({{ abroad }}) between 8 and 15 then '+' || {{ abroad }}
    when {{ abroad }} is not null or {{ code }} is null then {{ home }}
    when {{ trunk }} is not null and {{ home }} like ({{ trunk }} || '%')
        and length({{ home }}) - length({{ trunk }}) between {{ shortest }} and {{ longest }}
        then ('+' || {{ code }} || substr({{ home }}, length({{ trunk }}) + 1))
    when ({{ trunk }} is null or {{ home }} not like ({{ trunk }} || '%'))
        and length({{ home }}) between {{ shortest }} and {{ longest }}
        then '+' || {{ code }} || {{ home }}
    when {{ home }} like ({{ code }} || '%')
        and length({{ home }}) - length({{ code }}) between {{ shortest }} and {{ longest }}
        then '+' || {{ home }}
    else {{ home }}
end
{%- endmacro %}

{# An identifier that a person typed, as the sources' are spelled: addresses in lower case, cards
   in upper case, numbers without blanks. #}
{% macro spelled_identifier(identifier_type, text) -%}
case
    when {{ identifier_type }} = 'email' then {{ normalise_email(text) }}
    when {{ identifier_type }} = 'phone' then nullif({{ replace_all(ascii_digits(trimmed(text)), '[^0-9+]', '') }}, '')
    when {{ identifier_type }} = 'loyalty_no' then {{ normalise_upper_code(text) }}
    else nullif({{ trimmed(text) }}, '')
end
{%- endmacro %}

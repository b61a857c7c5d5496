{# An event's name as an activity: Product Viewed is product_viewed. #}
{% macro snake_case(text) -%}
{{ lower_case(replace_all(trimmed(text), '[^\\p{L}\\p{N}]+', '_')) }}
{%- endmacro %}

{# Whether two folded names may be one misspelled: one within the other, or letters that are the
   same but for one each (none in names of up to three letters), in whatever order. Alike on both
   engines, where an edit distance counts bytes on one and letters on the other. #}
{% macro are_alike(name, other) -%}
(
    contains({{ name }}, {{ other }})
    or contains({{ other }}, {{ name }})
    or (
        length(translate({{ name }}, {{ other }}, ''))
        <= case when length({{ name }}) > 3 and length({{ other }}) > 3 then 1 else 0 end
        and length(translate({{ other }}, {{ name }}, ''))
        <= case when length({{ name }}) > 3 and length({{ other }}) > 3 then 1 else 0 end
    )
)
{%- endmacro %}

{# Households: customers and what they share (an address with a surname, a phone) as a graph of its
   own, contracted as identity is. #}
{% macro solve_households(evidence) %}
{% if execute %}
    {% do adapter.create_schema(solved('any').without_identifier()) %}
    {% do drop_scratch() %}
    {% do adapter.create_schema(scratch('any').without_identifier()) %}
    {% set joined = contract_edges('households', make_scratch('households_shared', "
        select distinct least(customer_key, evidence_key) as u, greatest(customer_key, evidence_key) as v
        from " ~ evidence), namespace(rounds=0)) %}
    {% do make_solved('households', "select node_key, component_key from " ~ joined) %}
    {% do drop_scratch() %}
{% endif %}
{% endmacro %}

{# Fails for each row whose column is larger than another of its columns, where the condition holds. #}
{% test not_more_than(model, column_name, other_column, condition) %}
select *
from {{ model }}
where
    {{ condition }}
    and {{ column_name }} > {{ other_column }}
{% endtest %}

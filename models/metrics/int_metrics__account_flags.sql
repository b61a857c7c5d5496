-- What an account is by the rules of the seed account_rules and of the vars: nobody tells it.
with

customer_orders as (

    select * from {{ ref('int_metrics__customer_orders') }}

),

customers as (

    select * from {{ ref('customers') }}

),

customer_identifiers as (

    select * from {{ ref('customer_identifiers') }}

    where identifier_type = 'email'

),

account_rules as (

    select * from {{ ref('account_rules') }}

),

described as (

    select
        customer_id,
        'email' as field,
        {{ lower_case('identifier_value') }} as field_value

    from customer_identifiers

    union all

    select
        customer_id,
        'name' as field,
        {{ lower_case("concat_ws(' ', first_name, last_name)") }} as field_value

    from customers

),

fitting_rules as (

    select
        described.customer_id,
        max(case when account_rules.flag = 'employee' then 1 end) as employee_rule,
        max(case when account_rules.flag = 'reseller' then 1 end) as reseller_rule,
        max(case when account_rules.flag = 'test_account' then 1 end) as test_account_rule

    from described

    inner join account_rules
        on described.field = account_rules.field
        and described.field_value like account_rules.pattern

    group by 1

),

spending as (

    select
        *,
        row_number() over (
            order by lifetime_order_amount asc, customer_id asc
        ) as spending_rank,
        count(*) over () as customer_count

    from customer_orders

),

middle as (

    select max(lifetime_order_amount) as median_amount

    from spending

    where 2 * spending_rank between customer_count and customer_count + 1

),

account_flags as (

    select
        spending.customer_id,
        fitting_rules.employee_rule is not null as is_employee,
        fitting_rules.reseller_rule is not null
        or spending.largest_line_item_count >= {{ var('reseller_min_pieces') }} as is_reseller,
        fitting_rules.test_account_rule is not null as is_test_account,
        middle.median_amount > 0
        and spending.lifetime_order_amount
        > middle.median_amount * {{ var('outlier_times_median') }} as is_outlier,
        spending.has_gift_order as is_gift_giver

    from spending

    cross join middle

    left join fitting_rules
        on spending.customer_id = fitting_rules.customer_id

)

select * from account_flags

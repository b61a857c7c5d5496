{{ staged_newest('hubspot', 'deal_pipeline_stage') }}

{{ staged_versions('hubspot', 'deal_pipeline_stage') }}

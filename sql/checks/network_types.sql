-- asset: asn_inventory
-- severity: warn
-- blocks: no
-- title: Every network that sources were asked about has a type, UNKNOWN where no rule says more, and the basis of it
-- why: Shares of hosting, ISP and VPN networks leave out what has no type, without saying so.
-- remedy: Run `cowrie-enrich build-asn-inventory`, which classifies all networks again.
SELECT asn_number, organization_name, asn_type, asn_type_basis
FROM asn_inventory
WHERE enrichment IS NOT NULL
  AND (
    asn_type_basis IS NULL
    OR COALESCE(asn_type, '') IN ('HOSTING', 'ISP', 'CLOUD', 'VPN', 'EDUCATION', 'GOVERNMENT', 'ENTERPRISE', 'UNKNOWN')
        IS FALSE
  )

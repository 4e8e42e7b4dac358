-- title: The enrichment documents of a batch, each once
-- reads: staged_documents
INSERT INTO enrichment_documents (digest, document)
SELECT digest, document
FROM staged_documents
WHERE true
ORDER BY digest
ON CONFLICT (digest) DO NOTHING

# Azure's command-line tool: a login as the managed identity, a listing and a blob. $1: the tool.
set -eu
export AZURE_CORE_COLLECT_TELEMETRY=no AZURE_CORE_ONLY_SHOW_ERRORS=yes
echo "version azure-cli $("$1" version --query '"azure-cli"' -o tsv)"
"$1" login --identity -o none
options="--auth-mode login --blob-endpoint $STORAGE_ENDPOINT --container-name $STORAGE_BUCKET"
"$1" storage blob list $options --query '[].name' -o tsv | sed 's/^/listing /'
"$1" storage blob download $options --name greeting.txt --file "$HOME/blob" --no-progress -o none
sed 's/^/object /' "$HOME/blob"

#!/bin/sh
# `colrow verify` over ISA x TP x threads x chunks x batch on the bundled model.
set -eu
[ -f "$SOURCE_DIR/models/demo/model.safetensors" ] || { echo "skipped: models/demo is not here"; exit 77; }
"$COLROW" verify "$SOURCE_DIR/models/demo" --tp 1,2,3,5,8 --tokens 70 --generate 6
"$COLROW" verify "$SOURCE_DIR/models/demo" --tp 1,4 --isa reference,avx2,avx512,avx512bf16 --tokens 20 --generate 2
"$COLROW" verify "$SOURCE_DIR/models/demo" --tp 1,2 --threads 1,2 --chunks 512,7,1 --batches 1,16 --tokens 40 --generate 3
"$COLROW" verify "$SOURCE_DIR/models/demo" --tp 1,3 --batches 1,4 --tokens 60 --generate 40 \
    --speculative-config '{"method":"ngram","num_speculative_tokens":8,"prompt_lookup_min":1,"prompt_lookup_max":3}'
"$COLROW" verify "$SOURCE_DIR/models/demo" --dtype float32 --tp 1,3,6 --tokens 70 --generate 6
"$COLROW" verify "$SOURCE_DIR/models/demo" --dtype float16 --tp 1,7 --tokens 70 --generate 6
"$COLROW" verify "$SOURCE_DIR/models/demo" --kv-cache-dtype float32 --tp 1,2,3,5 --tokens 70 --generate 6
"$COLROW" verify "$SOURCE_DIR/models/demo" --kv-cache-dtype float32 --tp 1,2 --isa reference,avx2,avx512 --chunks 512,7 --tokens 20 --generate 2
"$COLROW" verify "$SOURCE_DIR/models/demo" --kv-cache-dtype float32 --product-order tiles --tp 1,2 --batches 1,16 --tokens 40 --generate 2
"$COLROW" verify "$SOURCE_DIR/models/demo" --kv-cache-dtype int8 --tp 1,2,3,8 --tokens 70 --generate 6
"$COLROW" verify "$SOURCE_DIR/models/demo" --kv-cache-dtype int8 --tp 1,2 --isa reference,avx2,avx512,avx512bf16 --chunks 512,7 --batches 1,16 --tokens 40 --generate 2
"$COLROW" verify "$SOURCE_DIR/models/demo" --kv-cache-dtype fp8 --tp 1,2,5 --chunks 512,7,1 --batches 1,16 --tokens 70 --generate 3
"$COLROW" verify "$SOURCE_DIR/models/demo" --kv-cache-dtype fp8 --product-order tiles --tp 1,2 --isa reference,avx2,avx512,amx --tokens 20 --generate 2
"$COLROW" verify "$SOURCE_DIR/models/demo" --product-order tiles --tp 1,2,3,8 --tokens 70 --generate 6
"$COLROW" verify "$SOURCE_DIR/models/demo" --product-order tiles --tp 1,4 --isa reference,avx2,avx512,amx --tokens 20 --generate 2
"$COLROW" verify "$SOURCE_DIR/models/demo" --product-order tiles --tp 1,2 --threads 1,2 --chunks 512,7,1 --batches 1,16 --tokens 40 --generate 3

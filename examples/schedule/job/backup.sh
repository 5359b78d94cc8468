# Copy /data into /backups, and keep the last $KEEP copies.
set -eu
name=/backups/$(date +%Y%m%d-%H%M%S-%N).tar
tar -cf "$name.part" -C /data .
mv "$name.part" "$name"
ls -1 /backups/*.tar | head -n "-$KEEP" | xargs -r rm
echo "backup: $(ls -1 /backups/*.tar | wc -l) kept"

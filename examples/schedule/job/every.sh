# sh every.sh SECONDS COMMAND...: run it now and then every so often. A run that fails is told, and does not end the schedule.
interval=$1
shift
while :; do
    "$@" || echo "failed with status $?"
    sleep "$interval"
done

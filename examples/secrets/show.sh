# What the application was given, but for the secrets themselves.
for file in /run/secrets/password /run/app/token /etc/app/settings.ini; do
    stat -c "%n %u:%g %a" "$file"
done
echo "password: $(wc -c < /run/secrets/password) bytes, token: $(wc -c < /run/app/token) bytes"
cat /etc/app/settings.ini

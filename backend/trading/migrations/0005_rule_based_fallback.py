from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0004_indexes_of_the_lists"),
    ]

    operations = [
        migrations.AddField(
            model_name="tradingsettings",
            name="rule_based_fallback",
            field=models.BooleanField(default=True),
        ),
    ]

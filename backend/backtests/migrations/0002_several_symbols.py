from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('backtests', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='backtestrun',
            name='symbol',
            field=models.CharField(max_length=1050),
        ),
    ]

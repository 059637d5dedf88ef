import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('market', '0002_candle_newest'),
    ]

    operations = [
        migrations.AddField(
            model_name='symbol',
            name='source',
            field=models.CharField(blank=True, help_text='csv, bybit, bybit:linear, binance, yahoo, or ccxt: and the name of an exchange', max_length=40, validators=[django.core.validators.RegexValidator('^(csv|bybit|bybit:linear|binance|yahoo|ccxt:[a-z0-9]+)\\Z')]),
        ),
        migrations.AlterField(
            model_name='candle',
            name='source',
            field=models.CharField(max_length=40),
        ),
        migrations.CreateModel(
            name='SourceState',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40, unique=True)),
                ('state', models.CharField(choices=[('working', 'Working'), ('paused', 'Paused')], default='working', max_length=7)),
                ('failures', models.PositiveIntegerField(default=0, help_text='in a row')),
                ('last_error', models.TextField(blank=True)),
                ('last_success_at', models.DateTimeField(blank=True, null=True)),
                ('last_failure_at', models.DateTimeField(blank=True, null=True)),
                ('retry_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['working', 'paused'])), name='market_source_state'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'paused'), _negated=True), ('retry_at__isnull', False), _connector='OR'), name='market_source_pause_has_an_end')],
            },
        ),
    ]

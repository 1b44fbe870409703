# One image for every Airflow component and for the upstream simulator. Its code is in it: workers share no disk.
FROM apache/airflow:3.3.2-python3.12

USER root
# git serves the sample upstream. A named volume takes owner and mode from the folder of the image that it covers.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=airflow --group=root --mode=0770 /opt/airflow/auth /var/lib/upstream

USER airflow
COPY requirements-distributed.txt /opt/airflow/
RUN pip install --no-cache-dir --require-hashes --requirement /opt/airflow/requirements-distributed.txt

COPY deploy/init.py /opt/airflow/deploy/
COPY include /opt/airflow/include
COPY plugins /opt/airflow/plugins
COPY dags /opt/airflow/dags
ENV PYTHONPATH=/opt/airflow/include
